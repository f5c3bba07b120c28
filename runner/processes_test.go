package runner_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// attempt describes one process. The zero value is attempt 1 of run 1.
type attempt struct {
	job, run, number int
	handler          string
	args             any
	command          string
	// env overrides variables of the environment.
	env map[string]string
}

// proc is a runner's process.
type proc struct {
	t       *testing.T
	cmd     *exec.Cmd
	message string
	done    chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// start runs an attempt in a process of its own.
func (db testDB) start(t *testing.T, a attempt) *proc {
	t.Helper()
	args, err := json.Marshal(a.args)
	if err != nil {
		t.Fatal(err)
	}
	if a.args == nil {
		args = []byte("{}")
	}
	p := &proc{t: t, message: filepath.Join(t.TempDir(), "message"), done: make(chan struct{})}
	if err := os.WriteFile(p.message, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		asRunner: "1", contract.EnvDatabaseURL: db.url, contract.EnvWorkspace: "acme", contract.EnvQueue: "workspace_acme",
		contract.EnvJobID: jobID(a.job), contract.EnvJobName: "job", contract.EnvRun: strconv.Itoa(max(1, a.run)),
		contract.EnvAttempt: strconv.Itoa(max(1, a.number)), contract.EnvHandler: a.handler,
		contract.EnvArgs: string(args), contract.EnvMessagePath: p.message, contract.EnvLedgerSchema: "hangfire",
	}
	for name, value := range a.env {
		env[name] = value
	}
	p.message = env[contract.EnvMessagePath]
	command := a.command
	if command == "" {
		command = contract.CommandRun
	}
	p.cmd = exec.Command(os.Args[0], command)
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(p.cleanUp)
	return p
}

func jobID(number int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", number) }

// cleanUp ends the process and checks that it wrote no secret.
func (p *proc) cleanUp() {
	p.signal(syscall.SIGKILL)
	<-p.done
	for _, secret := range []string{testPassword, "hunter2", "%22tricky%22", `tricky`} {
		if strings.Contains(p.text(), secret) {
			p.t.Errorf("the log shows the password (%s):\n%s", secret, p.text())
		}
		if message, err := os.ReadFile(p.message); err == nil && strings.Contains(string(message), secret) {
			p.t.Errorf("the message shows the password (%s): %s", secret, message)
		}
	}
	if p.t.Failed() {
		p.t.Logf("output of process %d:\n%s", p.cmd.Process.Pid, p.text())
	}
}

func (p *proc) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *proc) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// waitFor waits until the process has written text.
func (p *proc) waitFor(text string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(p.text(), text) {
		select {
		case <-p.done:
			if strings.Contains(p.text(), text) {
				return
			}
			p.t.Fatalf("the process ended without writing %q", text)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the process has not written %q", text)
		}
	}
}

// signal sends a signal; after SIGSTOP it returns once the process has stopped.
func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(s) // it may have ended
	if s != syscall.SIGSTOP {
		return
	}
	tasks := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	for deadline := time.Now().Add(patience); ; {
		running := false
		stats, err := filepath.Glob(tasks)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			// The state follows the command's name in brackets (proc_pid_stat(5)).
			at := strings.LastIndex(string(text), ") ")
			running = running || err == nil && at >= 0 && !strings.HasPrefix(string(text[at+2:]), "T")
		}
		if !running {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the process did not stop")
		}
	}
}

// kill ends the process as a node's power failure does.
func (p *proc) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exit waits for the process to end and returns its exit code, or -1 if it was killed.
func (p *proc) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process did not end")
		return 0
	}
}

func (p *proc) wantExit(want int) {
	p.t.Helper()
	if got := p.exit(); got != want {
		p.t.Fatalf("exit code %d, want %d", got, want)
	}
}

// answer returns the termination message.
func (p *proc) answer() contract.Message {
	p.t.Helper()
	text, err := os.ReadFile(p.message)
	if err != nil {
		p.t.Fatal(err)
	}
	message, err := contract.ParseMessage(string(text))
	if err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	return message
}

// gate returns the path of a closed gate, for openGate to open.
func gate(t *testing.T) string { return filepath.Join(t.TempDir(), "gate") }

func openGate(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
