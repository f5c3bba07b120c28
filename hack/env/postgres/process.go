package postgres

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/openradius/workspace-jobs/hack/env/child"
)

// process is a child process that the kernel ends together with this one, even when
// this one is killed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// startProcess runs a program as the unprivileged user and appends its output to
// logFile.
func startProcess(logFile, path string, args ...string) (*process, error) {
	credential, err := unprivileged()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	// SIGQUIT is PostgreSQL's immediate shutdown, which also ends its children.
	cmd.SysProcAttr = child.EndsWithParent(syscall.SIGQUIT)
	cmd.SysProcAttr.Credential = credential
	made := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go made.hold(started)
	return made, <-started
}

// hold starts the child and waits for it on one thread, since the kernel sends the
// parent's death signal when the thread that forked ends, not the process.
func (p *process) hold(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is in its log
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the child to end, and kills it after ten seconds.
func (p *process) stop() error {
	if p.ended() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !p.ended() {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return p.cmd.Process.Kill()
	}
}
