package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/browser"
	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	registry          = "localhost/workspace-jobs"
	tag               = "dev"
	runnerImage       = registry + "/runner:" + tag
	operatorNamespace = "workspace-jobs-system"
	operatorName      = "workspace-jobs-manager"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":" + operatorName
	// pendingLimit is the operator's --pending-limit: long enough for a pod on a busy
	// machine, and short enough for a test to wait for.
	pendingLimit = "150s"
)

// suite is the cluster, the database server and the operator.
type suite struct {
	root, tool string
	// host is the machine's address that pods can reach.
	host       string
	kubeconfig string
	config     *rest.Config
	scheme     *runtime.Scheme
	// client and clientset have a cluster admin's rights and don't use a cache.
	client    client.Client
	clientset *kubernetes.Clientset
	server    *postgres.Server
	// turn is a file that is locked by the run that uses the cluster.
	turn  *os.File
	owner bool

	// chromium is started by the first test that needs it.
	chromium     *browser.Browser
	openChromium sync.Once

	mutex sync.Mutex
	// secrets must not be in any object or log.
	secrets []string
}

func startSuite(ctx context.Context) (*suite, error) {
	s := &suite{}
	for _, step := range []func(context.Context) error{
		s.waitTurn, s.locate, s.startCluster, s.connect, s.startDatabase, s.deploy, s.removeLeftovers,
	} {
		if err := step(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

// locate finds the repository, and builds the cluster tool and the images, unless CLUSTER
// and IMAGES in the environment say where they are.
func (s *suite) locate(ctx context.Context) error {
	var err error
	if s.root, err = filepath.Abs("../../.."); err != nil {
		return err
	}
	if s.tool, err = testenv.ClusterTool(ctx); err != nil {
		return err
	}
	if os.Getenv("IMAGES") == "" {
		fmt.Println("e2e: make images")
		_, err = s.command(ctx, "make", "--no-print-directory", "-C", s.root, "images", "REGISTRY="+registry, "TAG="+tag)
	}
	return err
}

// imageFiles returns the images that `make images` built, in IMAGES or in dist/.
func imageFiles(root string) []string {
	folder := os.Getenv("IMAGES")
	if folder == "" {
		folder = filepath.Join(root, "dist")
	}
	return []string{filepath.Join(folder, "manager.tar"), filepath.Join(folder, "runner.tar"), filepath.Join(folder, "server.tar")}
}

// waitTurn waits until no other run of these tests uses the cluster. A run that was killed
// no longer does.
func (s *suite) waitTurn(ctx context.Context) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "workspace-jobs-e2e.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	s.turn = lock
	waiting := false
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			s.owner = err == nil
			return s.owner, err
		}
		if !waiting {
			fmt.Println("e2e: waiting for another run of these tests")
			waiting = true
		}
		return false, nil
	})
}

// keep reports whether to keep the cluster after the run.
func keep() bool { return os.Getenv("E2E_KEEP") != "" }

// startCluster creates the cluster, after removing one that a killed run left behind.
func (s *suite) startCluster(ctx context.Context) error {
	if !keep() {
		if _, err := s.command(ctx, s.tool, "down", "--name", clusterName); err != nil {
			return err
		}
	}
	if _, err := s.command(ctx, s.tool, "up", "--name", clusterName); err != nil {
		return err
	}
	return s.load(ctx, imageFiles(s.root)...)
}

// load brings images into the cluster.
func (s *suite) load(ctx context.Context, archives ...string) error {
	_, err := s.command(ctx, s.tool, append([]string{"load", "--name", clusterName}, archives...)...)
	return err
}

func (s *suite) connect(ctx context.Context) error {
	log.SetLogger(logr.Discard()) // the tests check themselves what the client warns about
	var err error
	if s.kubeconfig, err = s.command(ctx, s.tool, "kubeconfig", "--name", clusterName); err != nil {
		return err
	}
	if s.host, err = s.command(ctx, s.tool, "host-address", "--name", clusterName); err != nil {
		return err
	}
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.kubeconfig); err != nil {
		return err
	}
	s.config.QPS = -1
	s.scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s.scheme), v1alpha1.AddToScheme(s.scheme)); err != nil {
		return err
	}
	live, err := client.New(s.config, client.Options{Scheme: s.scheme})
	if err != nil {
		return err
	}
	s.client = testenv.RetryCreate(live)
	s.clientset, err = kubernetes.NewForConfig(s.config)
	return err
}

func (s *suite) startDatabase(ctx context.Context) error {
	var err error
	s.server, err = postgres.Start(ctx, postgres.Options{
		Listen: []string{s.host},
		// The addresses of the node and its pods.
		Allow: []string{"198.18.0.0/15", "10.244.0.0/16"},
		TLS:   true,
	})
	if err == nil {
		s.keepSecret(s.server.AdminPassword)
	}
	return err
}

// deploy installs the operator as docs/install.md says, and then lowers the pending limit.
func (s *suite) deploy(ctx context.Context) error {
	kubectl := fmt.Sprintf("KUBECTL=%s kubectl --name %s", s.tool, clusterName)
	if _, err := s.command(ctx, "make", "--no-print-directory", "-C", s.root, "deploy", kubectl, "REGISTRY="+registry, "TAG="+tag); err != nil {
		return err
	}
	// The annotation creates new pods even if only the image behind the name is new.
	patch := fmt.Sprintf(`[
		{"op": "test", "path": "/spec/template/spec/containers/0/args/3", "value": "--pending-limit=10m"},
		{"op": "replace", "path": "/spec/template/spec/containers/0/args/3", "value": "--pending-limit=%s"},
		{"op": "add", "path": "/spec/template/metadata/annotations/e2e", "value": "%d"}]`, pendingLimit, os.Getpid())
	if _, err := s.kubectl(ctx, "-n", operatorNamespace, "patch", "deployment", operatorName, "--type=json", "-p", patch); err != nil {
		return err
	}
	_, err := s.kubectl(ctx, "-n", operatorNamespace, "rollout", "status", "deployment/"+operatorName, "--timeout=3m")
	return err
}

// removeLeftovers removes the objects of an earlier run from a cluster that was kept.
func (s *suite) removeLeftovers(ctx context.Context) error {
	if _, err := s.kubectl(ctx, "delete", "workspaces", "--all", "--timeout=3m"); err != nil {
		return err
	}
	_, err := s.kubectl(ctx, "delete", "namespaces", "-l", testLabel, "--timeout=3m")
	return err
}

// stop stops the suite, even after a start that failed.
func (s *suite) stop(ctx context.Context) error {
	var err error
	if s.chromium != nil {
		s.chromium.Stop()
	}
	if s.server != nil {
		err = s.server.Stop()
	}
	if s.owner && !keep() {
		_, down := s.command(ctx, s.tool, "down", "--name", clusterName)
		err = errors.Join(err, down)
	}
	if s.turn != nil {
		err = errors.Join(err, s.turn.Close())
	}
	return err
}

// kubectl runs the real kubectl.
func (s *suite) kubectl(ctx context.Context, args ...string) (string, error) {
	return s.command(ctx, s.tool, append([]string{"kubectl", "--name", clusterName}, args...)...)
}

// command runs a program and returns its output. The error has what it printed to stderr.
func (s *suite) command(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = environment()
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, output.String(), problems.String())
	}
	return strings.TrimSpace(output.String()), nil
}

// environment returns this process's environment without the variables that make sets for
// its children, so that the make that deploys starts afresh.
func environment() []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name != "MAKEFLAGS" && name != "MFLAGS" && name != "MAKELEVEL" && name != "KUBECTL" {
			env = append(env, variable)
		}
	}
	return env
}
