// Package testenv gives tests a real API server, with the project's CRDs and
// ClusterRoles installed: etcd, kube-apiserver and, on demand,
// kube-controller-manager, started by hack/env/cluster. There is no kubelet: a test
// that needs a pod to end writes the pod's status.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// startLimit is how long a control plane may take to start; hack/env/cluster may have
// to build it first.
const startLimit = 15 * time.Minute

// Options of a control plane.
type Options struct {
	// ControllerManager runs kube-controller-manager too: Jobs, garbage
	// collection, namespaces, ServiceAccounts.
	ControllerManager bool
	// SimulatedNode runs it too, and the scheduler, and a node on which every pod of
	// a Job succeeds at once though nothing runs.
	SimulatedNode bool
	// Policies installs the admission policies too. Tests of what the operator does
	// about objects that others changed do without them: they would keep the others
	// from it.
	Policies bool
}

// Env is a running control plane.
type Env struct {
	// Config is a cluster admin's.
	Config *rest.Config
	// Client reads live, and may do everything.
	Client client.Client
	// Scheme knows Kubernetes' kinds and the project's.
	Scheme *runtime.Scheme
	// Kubeconfig is the path of a cluster admin's kubeconfig.
	Kubeconfig string

	etcd string
}

// As is Config for somebody else, so that RBAC holds for the test.
func (e *Env) As(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(e.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// ManagerUser is who the operator is in the cluster; for [Env.As].
const ManagerUser = "system:serviceaccount:workspace-jobs-system:workspace-jobs-manager"

// Shared is the one control plane of a test binary. It starts when the first test
// asks for it, so that tests of pure functions need none.
//
//	var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	Options Options

	once  sync.Once
	env   *Env
	plane *plane
	err   error

	operating   sync.Once
	operator    *Operator
	scratch     string
	operatorErr error
}

// Run runs the tests, calls what has to stop before the control plane does, and
// stops that if it was started. It returns the exit code.
func (s *Shared) Run(m *testing.M, before ...func()) int {
	code := m.Run()
	for _, stop := range before {
		stop()
	}
	if err := s.stopOperator(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the operator: %v\n", err)
		code = max(code, 1)
	}
	if err := s.plane.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the control plane: %v\n", err)
		return max(code, 1)
	}
	return code
}

// Env returns the control plane. A test that can't have one fails: a skipped test
// would look like a passed one.
func (s *Shared) Env(t testing.TB) *Env {
	t.Helper()
	s.once.Do(func() { s.env, s.plane, s.err = start(s.Options) })
	if s.err != nil {
		t.Fatalf("no API server to test against: %v", s.err)
	}
	return s.env
}

// Operator returns the operator at work on the control plane: the manager's process,
// which is built and started once, with these arguments.
func (s *Shared) Operator(t testing.TB, args ...string) *Operator {
	t.Helper()
	env := s.Env(t)
	s.operating.Do(func() { s.operatorErr = s.startOperator(context.Background(), env, args) })
	if s.operatorErr != nil {
		t.Fatalf("no operator to test: %v", s.operatorErr)
	}
	return s.operator
}

func (s *Shared) startOperator(ctx context.Context, env *Env, args []string) error {
	var err error
	s.operator, s.scratch, err = operate(ctx, env, args)
	return err
}

// operate builds the operator and has it work on env. Its files are in the folder scratch.
func operate(ctx context.Context, env *Env, args []string) (operator *Operator, scratch string, err error) {
	if scratch, err = os.MkdirTemp("", "workspace-jobs-operator-"); err != nil {
		return nil, "", err
	}
	binary, err := BuildOperator(ctx, scratch)
	if err != nil {
		return nil, scratch, err
	}
	if operator, err = NewOperator(ctx, env, binary, scratch, args...); err != nil {
		return nil, scratch, err
	}
	return operator, scratch, operator.Start(ctx)
}

func (s *Shared) stopOperator() error {
	var err error
	if s.operator != nil {
		err = s.operator.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.scratch))
}

func start(options Options) (*Env, *plane, error) {
	tool, err := clusterTool()
	if err != nil {
		return nil, nil, err
	}
	return startWith(context.Background(), tool, options)
}

func clusterTool() (string, error) {
	tool := os.Getenv("CLUSTER")
	if tool == "" {
		return "", errors.New("CLUSTER must hold the path of the cluster tool: run `make test`, or `make cluster-tool` and CLUSTER=$PWD/bin/cluster go test …")
	}
	return tool, nil
}

// StartOperated starts a control plane and the operator for a TestMain: for tests of which
// some are examples, and so can't ask for either. stop is never nil, and ends what was
// started.
func StartOperated(ctx context.Context, options Options) (env *Env, operator *Operator, stop func() error, err error) {
	stop = func() error { return nil }
	tool, err := clusterTool()
	if err != nil {
		return nil, nil, stop, err
	}
	env, plane, err := startWith(ctx, tool, options)
	if err != nil {
		return nil, nil, stop, err
	}
	operator, scratch, err := operate(ctx, env, nil)
	stop = func() error {
		var all error
		if operator != nil {
			all = operator.Stop()
		}
		return errors.Join(all, plane.stop(), os.RemoveAll(scratch))
	}
	return env, operator, stop, err
}

// Start starts a control plane for a program that is no test; stop ends it. tool is
// the path of the cluster tool.
func Start(ctx context.Context, tool string, options Options) (env *Env, stop func() error, err error) {
	env, p, err := startWith(ctx, tool, options)
	return env, p.stop, err
}

func startWith(ctx context.Context, tool string, options Options) (*Env, *plane, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p, err := startPlane(ctx, tool, options)
	if err != nil {
		return nil, nil, err
	}
	env, err := connect(p.kubeconfig)
	if err == nil {
		env.etcd = p.etcd
		err = install(ctx, env.Client, filepath.Join(root, "config"), options)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.stop())
	}
	return env, p, nil
}

func connect(kubeconfig string) (*Env, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// Tests that poll in parallel are no load to hold back.
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	return &Env{Config: config, Client: c, Scheme: scheme, Kubeconfig: kubeconfig}, nil
}

// moduleRoot is the folder of the go.mod that the test's package belongs to.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("there is no go.mod above the test's folder")
		}
		folder = parent
	}
}
