package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/openradius/workspace-jobs/hack/env/child"
	"github.com/openradius/workspace-jobs/hack/env/ports"
)

const (
	operatorNamespace = "workspace-jobs-system"
	operatorAccount   = "workspace-jobs-manager"
	// memoryLimit is what the operator sets in its container, whose limit is in config/manager.
	memoryLimit = "GOMEMLIMIT=200MiB"
	// tokenLife is longer than any measurement.
	tokenLife = 12 * time.Hour
	// operatorStop is how long the operator may take to stop: its own grace period of 15 seconds,
	// and the delay of a busy machine.
	operatorStop = time.Minute
)

// Operator is the manager as a process of its own, with exactly the rights that it has
// in a cluster.
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

// Build builds a program of this repository, as its image has it, in the folder scratch.
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

// NewOperator prepares the manager's binary to work on e, with these further arguments. It
// writes the operator's log and kubeconfig to the folder scratch.
func NewOperator(ctx context.Context, e *Env, binary, scratch string, args ...string) (*Operator, error) {
	if e.namespace != operatorNamespace {
		args = append([]string{"--namespace=" + e.namespace}, args...)
	}
	o := &Operator{
		binary: binary, args: args, kubeconfig: filepath.Join(scratch, "kubeconfig"), logFile: filepath.Join(scratch, "manager.log"),
	}
	return o, WriteKubeconfig(ctx, e, operatorAccount, o.kubeconfig)
}

// WriteKubeconfig makes a ServiceAccount in the operator's namespace, and a kubeconfig of it.
func WriteKubeconfig(ctx context.Context, e *Env, account, path string) error {
	if err := e.MakeAccount(ctx, e.namespace, account); err != nil {
		return err
	}
	token, err := e.tokenFor(ctx, e.namespace, account, tokenLife)
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

// Start starts the process, and returns once it serves its metrics.
func (o *Operator) Start(ctx context.Context) error {
	var err error
	if o.address, err = ports.Address(); err != nil {
		return err
	}
	log, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"--leader-elect=false", "--health-probe-bind-address=0", "--metrics-bind-address=" + o.address}, o.args...)
	o.process = exec.Command(o.binary, args...)
	o.process.Env = append(os.Environ(), "KUBECONFIG="+o.kubeconfig, memoryLimit)
	o.process.Stdout, o.process.Stderr = log, log
	// A session of its own: a terminal's interrupt is for the tests, which stop it in turn.
	o.process.SysProcAttr = child.EndsWithParent(syscall.SIGKILL)
	o.process.SysProcAttr.Setsid = true
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

// Process returns the id of the operator's process, which runs.
func (o *Operator) Process() int { return o.process.Process.Pid }

// Alive returns an error once the process has ended.
func (o *Operator) Alive() error {
	select {
	case err := <-o.ended:
		o.ended <- err
		if err == nil {
			return fmt.Errorf("the operator has ended without an error\n%s", o.lastLog())
		}
		return fmt.Errorf("the operator has ended: %w\n%s", err, o.lastLog())
	default:
		return nil
	}
}

// Log returns the lines that the operator has logged.
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

// Stop ends the process, if it runs.
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
			return nil // ended by the signal
		}
		return err
	case <-time.After(operatorStop):
		return errors.Join(fmt.Errorf("the operator did not stop within %s", operatorStop), o.process.Process.Kill())
	}
}

// Restart stops the process and starts another, whose memory is empty.
func (o *Operator) Restart(ctx context.Context) error {
	if err := o.Stop(); err != nil {
		return err
	}
	return o.Start(ctx)
}

// RestartAs is Restart with another binary, if one is given, until the next restart.
func (o *Operator) RestartAs(ctx context.Context, binary string) error {
	own := o.binary
	defer func() { o.binary = own }()
	if binary != "" {
		o.binary = binary
	}
	return o.Restart(ctx)
}

// Metrics returns the operator's own metrics.
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
