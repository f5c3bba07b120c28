package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	operatorNamespace = "workspace-jobs-system"
	operatorAccount   = "workspace-jobs-manager"
	// memoryLimit is the deployment's GOMEMLIMIT, in config/manager.
	memoryLimit = "GOMEMLIMIT=200MiB"
	// tokenLife is longer than any measurement.
	tokenLife = 12 * time.Hour
	// operatorStop is how long the operator may take to stop.
	operatorStop = 15 * time.Second
)

// Operator is the manager as a process, with the rights that it has in a cluster and
// no others.
type Operator struct {
	binary     string
	args       []string
	kubeconfig string
	logFile    string
	address    string
	process    *exec.Cmd
	ended      chan error
}

// BuildOperator builds the manager's binary, as its image has it, in the folder scratch.
func BuildOperator(ctx context.Context, scratch string) (string, error) {
	return Build(ctx, scratch, "./controllers/manager")
}

// Build a program of this repository, as its image has it, in the folder scratch.
func Build(ctx context.Context, scratch, program string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(scratch, filepath.Base(program))
	build := exec.CommandContext(ctx, "go", "build", "-C", root, "-trimpath", "-buildvcs=false", "-tags=timetzdata",
		"-ldflags", "-s -w", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, output)
	}
	return binary, nil
}

// NewOperator prepares the manager's binary, with more arguments than it needs to run
// here, to work on e. Its log and kubeconfig are written to the folder scratch.
func NewOperator(ctx context.Context, e *Env, binary, scratch string, args ...string) (*Operator, error) {
	o := &Operator{
		binary: binary, args: args, kubeconfig: filepath.Join(scratch, "kubeconfig"), logFile: filepath.Join(scratch, "manager.log"),
	}
	return o, WriteKubeconfig(ctx, e, operatorAccount, o.kubeconfig)
}

// WriteKubeconfig makes a ServiceAccount in the operator's namespace, and a kubeconfig of it.
func WriteKubeconfig(ctx context.Context, e *Env, account, path string) error {
	if err := e.MakeAccount(ctx, operatorNamespace, account); err != nil {
		return err
	}
	token, err := e.longToken(ctx, operatorNamespace, account)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[account] = &clientcmdapi.Cluster{Server: e.Config.Host, CertificateAuthorityData: e.Config.CAData}
	config.AuthInfos[account] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[account] = &clientcmdapi.Context{Cluster: account, AuthInfo: account}
	config.CurrentContext = account
	return clientcmd.WriteToFile(*config, path)
}

// longToken lasts longer than any test or measurement.
func (e *Env) longToken(ctx context.Context, namespace, account string) (string, error) {
	clientset, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return "", err
	}
	made, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(tokenLife / time.Second))},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Status.Token, nil
}

// Start returns once the operator serves its metrics.
func (o *Operator) Start(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	o.address = fmt.Sprintf("127.0.0.1:%d", port)
	log, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"--leader-elect=false", "--health-probe-bind-address=0", "--metrics-bind-address=" + o.address}, o.args...)
	o.process = exec.Command(o.binary, args...)
	o.process.Env = append(os.Environ(), "KUBECONFIG="+o.kubeconfig, memoryLimit)
	o.process.Stdout, o.process.Stderr = log, log
	// A session of its own: a terminal's interrupt is for us, and we stop it in turn. It
	// does not outlive us, however we end.
	o.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := o.process.Start(); err != nil {
		return err
	}
	o.ended = make(chan error, 1)
	go func() { o.ended <- o.process.Wait() }()
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		if err := o.Alive(); err != nil {
			return false, err
		}
		_, err := o.Metrics(ctx)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the operator does not serve its metrics: %w", err)
	}
	return nil
}

// Process is the operator's process id; it runs.
func (o *Operator) Process() int { return o.process.Process.Pid }

// Alive is an error once the process has ended.
func (o *Operator) Alive() error {
	select {
	case err := <-o.ended:
		o.ended <- err
		return errors.Join(fmt.Errorf("the operator has ended: %w\n%s", err, o.lastLog()))
	default:
		return nil
	}
}

// Log is what it has logged, a line each.
func (o *Operator) Log() ([]string, error) {
	text, err := os.ReadFile(o.logFile)
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

func (o *Operator) lastLog() string {
	lines, err := o.Log()
	if err != nil {
		return err.Error()
	}
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// Stop ends the process if it runs.
func (o *Operator) Stop() error {
	if o.process == nil || o.process.Process == nil {
		return nil
	}
	if err := o.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	defer func() { o.process = nil }()
	select {
	case err := <-o.ended:
		if ended := new(exec.ExitError); errors.As(err, &ended) {
			return nil // it was told to
		}
		return err
	case <-time.After(operatorStop):
		return errors.Join(fmt.Errorf("the operator did not stop within %s", operatorStop), o.process.Process.Kill())
	}
}

// Restart gives a fresh process, whose memory holds nothing of what was.
func (o *Operator) Restart(ctx context.Context) error {
	if err := o.Stop(); err != nil {
		return err
	}
	return o.Start(ctx)
}

// Metrics reads the operator's own metrics.
func (o *Operator) Metrics(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.address+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the operator's metrics: %s", answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("a %T", listener.Addr()), listener.Close())
	}
	return address.Port, listener.Close()
}
