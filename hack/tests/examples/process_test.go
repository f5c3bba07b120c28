package examples_test

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/hack/env/debian"
	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/hack/env/quick"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	python  = "/usr/bin/python3" // Debian's, which has Debian's psycopg
	example = "../../../docs/examples/runner-python"
	// patience bounds every wait of a test.
	patience = 3 * time.Minute
	// password must not appear in what a process writes.
	password = `hunter2/"tricky"&<word>ž`
)

// database is the one PostgreSQL of these tests, with a pooler in front.
var database = postgres.Shared{PoolSize: 20}

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// psycopg installs what the example imports; once for all tests.
var psycopg = sync.OnceValue(func() error {
	ctx := context.Background()
	if exec.CommandContext(ctx, python, "-c", "import psycopg").Run() == nil {
		return nil
	}
	return debian.Install(ctx, "python3-psycopg")
})

// tenant is a workspace's database of one test.
type tenant struct {
	url  string
	pool *pgxpool.Pool
}

// newTenant creates a database that the example has migrated, with a table for effects.
func newTenant(t *testing.T) tenant {
	t.Helper()
	db := emptyTenant(t)
	db.start(t, attempt{command: contract.CommandMigrate}).wantExit(contract.ExitDone)
	db.exec(t, `CREATE TABLE effects (job uuid NOT NULL, run int NOT NULL, attempt int NOT NULL)`)
	return db
}

func emptyTenant(t *testing.T) tenant {
	t.Helper()
	quick.LeaveOut(t, "Debian's Python, and PostgreSQL")
	if err := psycopg(); err != nil {
		t.Fatal(err)
	}
	url, err := database.Server(t).CreateTenant(t.Context(), "test_"+strings.ToLower(rand.Text()), password)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return tenant{url: url, pool: pool}
}

func (db tenant) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := db.pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// effects waits until the number of committed effects is want.
func (db tenant) effects(t *testing.T, want string) {
	t.Helper()
	db.eventually(t, want, `SELECT count(*)::text FROM effects`)
}

// eventually waits until a query's one value is want.
func (db tenant) eventually(t *testing.T, want, sql string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if err := db.pool.QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if got == want {
			return
		}
	}
	t.Fatalf("%s: %s, want %s", sql, got, want)
}

// attempt describes one process. The zero value is attempt 1 of run 1 of the job.
type attempt struct {
	command, program   string
	run, number        int
	handler, args, url string
	// env has further environment variables, as NAME=value.
	env []string
}

// proc is a runner's process.
type proc struct {
	t            *testing.T
	cmd          *exec.Cmd
	message, log string
	done         chan struct{}
}

// start runs an attempt in a process of its own.
func (db tenant) start(t *testing.T, a attempt) *proc {
	t.Helper()
	dir := t.TempDir()
	p := &proc{t: t, message: filepath.Join(dir, "message"), log: filepath.Join(dir, "log"), done: make(chan struct{})}
	if err := os.WriteFile(p.message, []byte("a message that an earlier process left, longer than the new one"), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	p.cmd = exec.Command(python, "-B", or(a.program, "testdata/handlers.py"), or(a.command, contract.CommandRun))
	p.cmd.Env = append([]string{
		"PYTHONPATH=" + example, contract.EnvDatabaseURL + "=" + or(a.url, db.url), contract.EnvLedgerSchema + "=hangfire",
		contract.EnvWorkspace + "=acme", contract.EnvQueue + "=workspace_acme",
		contract.EnvJobID + "=00000000-0000-4000-8000-000000000001", contract.EnvJobName + "=job",
		contract.EnvRun + "=" + strconv.Itoa(max(1, a.run)), contract.EnvAttempt + "=" + strconv.Itoa(max(1, a.number)),
		contract.EnvHandler + "=" + a.handler, contract.EnvArgs + "=" + or(a.args, "{}"),
		contract.EnvTimeout + "=", contract.EnvMessagePath + "=" + p.message,
	}, a.env...)
	p.cmd.Stdout, p.cmd.Stderr = output, output
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

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// cleanUp ends the process and checks that it did not write the password.
func (p *proc) cleanUp() {
	p.signal(syscall.SIGKILL)
	<-p.done
	for _, path := range []string{p.log, p.message} {
		text := p.read(path)
		for _, secret := range []string{"hunter2", "tricky"} {
			if strings.Contains(text, secret) {
				p.t.Errorf("the process wrote the password:\n%s", text)
			}
		}
	}
	if p.t.Failed() {
		p.t.Logf("output of process %d:\n%s%s", p.cmd.Process.Pid, p.read(p.log), p.read(p.message))
	}
}

func (p *proc) read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		p.t.Error(err)
	}
	return string(text)
}

func (p *proc) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// waitFor waits until the process has written text.
func (p *proc) waitFor(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if strings.Contains(p.read(p.log), text) {
			return
		}
	}
	p.t.Fatalf("the process has not written %q", text)
}

func (p *proc) wantExit(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatal("the process did not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("exit code %d, want %d", got, want)
	}
}

// answer returns the termination message and checks that it keeps to the contract.
func (p *proc) answer() contract.Message {
	p.t.Helper()
	message, err := contract.ParseMessage(p.read(p.message))
	if err != nil {
		p.t.Fatalf("%v: %s", err, p.read(p.message))
	}
	return message
}

// wantError checks the exit code and that the error contains text.
func (p *proc) wantError(code int, text string) {
	p.t.Helper()
	p.wantExit(code)
	if got := p.answer(); !strings.Contains(got.Error, text) || got.Result != nil {
		p.t.Errorf("%+v does not contain %q", got, text)
	}
}
