// Package examples tests docs/examples: what people copy should do what its pages say.
package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// TestMigrate checks that migrating works repeatedly and concurrently, and is refused in a
// schema that has something else.
func TestMigrate(t *testing.T) {
	t.Parallel()
	db := emptyTenant(t)
	var procs []*proc
	for range 4 {
		procs = append(procs, db.start(t, attempt{command: contract.CommandMigrate}))
	}
	for _, p := range procs {
		p.wantExit(contract.ExitDone)
		if got := string(p.answer().Result); got != `{"schemaVersion":1}` {
			t.Errorf("result %s", got)
		}
	}
	db.held(t, "python_runs migrate hangfire", func() *proc {
		return db.start(t, attempt{command: contract.CommandMigrate})
	}).wantExit(contract.ExitDone)
	if outcome := runner.Migrate(t.Context(), runner.Description{DatabaseURL: db.url}); outcome.Kind == runner.Done {
		t.Error("the Go library created its ledger in addition to the example's")
	}
	other := emptyTenant(t)
	other.exec(t, `CREATE TABLE hangfire.job (id int)`)
	p := other.start(t, attempt{command: contract.CommandMigrate})
	p.wantError(contract.ExitPermanent, "the schema hangfire has job, which does not belong to this runner")
	other.eventually(t, "job", `SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'hangfire'`)
}

// TestEndings checks each exit code, its message, and that nothing was committed.
func TestEndings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempt attempt
		code    int
		want    string
	}{
		"unknown command":   {attempt{command: "walk"}, contract.ExitUsage, "the one argument must be run or migrate"},
		"unknown handler":   {attempt{handler: "nothing"}, contract.ExitUsage, "this image does not have the job's handler; it has broken"},
		"arguments":         {attempt{handler: "done", args: "[1]"}, contract.ExitUsage, "JOB_ARGS is not a JSON object"},
		"no run":            {attempt{handler: "done", env: []string{"JOB_RUN=0"}}, contract.ExitUsage, "JOB_RUN is '0'"},
		"a time-out of 5":   {attempt{handler: "done", env: []string{"JOB_TIMEOUT=5"}}, contract.ExitUsage, "'5' is not a duration such as 1h30m"},
		"no URL":            {attempt{handler: "done", url: "postgres://acme:hunter2@[::1/acme"}, contract.ExitUsage, "DATABASE_URL is not a PostgreSQL connection URL"},
		"no server":         {attempt{handler: "done", url: "postgres://acme:hunter2@127.0.0.1:1/acme"}, contract.ExitFailed, "connection failed"},
		"a superuser":       {attempt{handler: "done", url: database.Server(t).AdminURL()}, contract.ExitUsage, "the database role postgres is refused"},
		"permanent":         {attempt{handler: "permanent"}, contract.ExitPermanent, "no such customer"},
		"an exception":      {attempt{handler: "broken"}, contract.ExitFailed, "ValueError: xxx"},
		"a leak":            {attempt{handler: "leak"}, contract.ExitFailed, "can't connect to [redacted]"},
		"a large result":    {attempt{handler: "large"}, contract.ExitPermanent, "the result is 4002 bytes long"},
		"a handler commits": {attempt{handler: "commits"}, contract.ExitPermanent, "the handler has ended its transaction"},
		"a time-out":        {attempt{handler: "wait", env: []string{"JOB_TIMEOUT=500ms"}}, contract.ExitTimeout, "the attempt took longer than its timeout, 500ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTenant(t)
			db.start(t, test.attempt).wantError(test.code, test.want)
			db.effects(t, "0")
			db.eventually(t, "0", `SELECT count(finished_at)::text FROM hangfire.python_runs`)
		})
	}
}

func TestLater(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	p := db.start(t, attempt{handler: "later"})
	p.wantError(contract.ExitLater, "the other side is busy")
	if delay, ok := p.answer().Delay(); !ok || delay.Seconds() != 90 {
		t.Errorf("%+v", p.answer())
	}
	db.effects(t, "0")
}

// TestOnce checks that a run that has succeeded is not run again, but a requeued one is.
func TestOnce(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("pooled=%v", pooled), func(t *testing.T) {
			t.Parallel()
			db := newTenant(t)
			a := attempt{handler: "done"}
			if pooled {
				var err error
				if a.url, err = database.Pooler(t).URL(db.url); err != nil {
					t.Fatal(err)
				}
			}
			for number := range 3 {
				a.number = number + 1
				p := db.start(t, a)
				p.wantExit(contract.ExitDone)
				if got := string(p.answer().Result); got != `{"attempt":1,"text":"žluťoučký"}` {
					t.Errorf("result %s", got)
				}
				db.effects(t, "1")
			}
			a.run, a.number = 2, 4
			db.start(t, a).wantExit(contract.ExitDone)
			db.effects(t, "2")
		})
	}
}

// TestOlderRun checks that a run has no effect after a requeue.
func TestOlderRun(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	db.start(t, attempt{handler: "broken", run: 2, number: 2}).wantExit(contract.ExitFailed)
	db.start(t, attempt{handler: "done", run: 1}).wantError(contract.ExitPermanent, "run 2 of this job has begun; this is run 1")
	db.effects(t, "0")
}

// waiting is a query for the number of processes that wait for an advisory lock.
const waiting = `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// held starts a process while another session holds the lock that it needs, and releases
// the lock once the process waits for it.
func (db tenant) held(t *testing.T, lock string, start func() *proc) *proc {
	t.Helper()
	tx, err := db.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, lock); err != nil {
		t.Fatal(err)
	}
	p := start()
	db.eventually(t, "1", waiting)
	return p
}

// TestTwoAtOnce checks that a second process waits for the first, and then does nothing.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	until := filepath.Join(t.TempDir(), "continue")
	a := attempt{handler: "think", args: fmt.Sprintf(`{"until":%q}`, until)}
	first := db.start(t, a)
	first.waitFor("thinking")
	a.number = 2
	second := db.start(t, a)
	db.eventually(t, "1", waiting)
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first.wantExit(contract.ExitDone)
	second.wantExit(contract.ExitDone)
	if strings.Contains(second.read(second.log), "thinking") {
		t.Error("the second process ran the handler too")
	}
	db.effects(t, "1")
}

// TestFrozen checks that a process which hangs in its transaction is overtaken, and has no
// effect when it wakes up.
func TestFrozen(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	until := filepath.Join(t.TempDir(), "continue")
	a := attempt{handler: "think", args: fmt.Sprintf(`{"until":%q}`, until), env: []string{"TEST_IDLE_LIMIT=1000"}}
	frozen := db.start(t, a)
	frozen.waitFor("thinking")
	frozen.signal(syscall.SIGSTOP)
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.number = 2
	db.start(t, a).wantExit(contract.ExitDone)
	frozen.signal(syscall.SIGCONT)
	frozen.wantExit(contract.ExitFailed)
	db.eventually(t, "2", `SELECT string_agg(attempt::text, ' ') FROM effects`)
}

// TestSignal checks that SIGTERM rolls back what is not committed, whether the handler is
// in the database or in Python or the process waits for another one.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, handler := range []string{"wait", "think"} {
		t.Run(handler, func(t *testing.T) {
			t.Parallel()
			db := newTenant(t)
			a := attempt{handler: handler, args: `{"until":"/nonexistent"}`}
			first := db.start(t, a)
			first.waitFor(handler + "ing")
			a.number = 2
			second := db.start(t, a)
			db.eventually(t, "1", waiting)
			for _, p := range []*proc{second, first} {
				p.signal(syscall.SIGTERM)
				p.wantError(contract.ExitInterrupted, "interrupted by SIGTERM")
			}
			db.eventually(t, "0", `SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE 'workspace-jobs/%' AND datname = current_database()`)
			db.effects(t, "0")
		})
	}
}

// TestKilled kills a process in its transaction: the next one should do all the work.
func TestKilled(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	first := db.start(t, attempt{handler: "think", args: `{"until":"/nonexistent"}`})
	first.waitFor("thinking")
	first.signal(syscall.SIGKILL)
	db.start(t, attempt{handler: "done", number: 2}).wantExit(contract.ExitDone)
	db.effects(t, "1")
}

// TestHandlers tests the handlers of the example itself.
func TestHandlers(t *testing.T) {
	t.Parallel()
	db := newTenant(t)
	db.exec(t, `CREATE TABLE radacct (acctupdatetime timestamptz, acctstoptime timestamptz)`)
	db.exec(t, `INSERT INTO radacct VALUES (now(), NULL), (now() - interval '3 hours', NULL), (now() - interval '3 hours', now())`)
	answers := []int{http.StatusServiceUnavailable, http.StatusNotFound, http.StatusOK}
	var keys []string
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(answers[len(keys)-1])
	}))
	t.Cleanup(receiver.Close)
	program := filepath.Join(example, "runner.py")
	run := func(number int, handler, args string) *proc {
		return db.start(t, attempt{program: program, run: number, number: number, handler: handler, args: args})
	}

	p := run(1, "close-sessions", `{"idle":"2h"}`)
	p.wantExit(contract.ExitDone)
	if got := string(p.answer().Result); got != `{"closed":1}` {
		t.Errorf("result %s", got)
	}
	run(2, "close-sessions", `{"idle":"2 hours"}`).wantError(contract.ExitUsage, "'2 hours' is not a duration")
	run(2, "close-sessions", `{"idl":"2h"}`).wantError(contract.ExitUsage, "the arguments must be")

	url := fmt.Sprintf(`{"url":%q}`, receiver.URL)
	p = run(3, "notify", url)
	p.wantError(contract.ExitLater, "the receiver answered 503")
	if p.answer().RetryAfter != "7000ms" {
		t.Errorf("%+v", p.answer())
	}
	run(4, "notify", url).wantError(contract.ExitPermanent, "the receiver answered 404")
	p = run(5, "notify", url)
	p.wantExit(contract.ExitDone)
	if got := string(p.answer().Result); got != `{"status":200,"open":1}` {
		t.Errorf("result %s", got)
	}
	if keys[2] != "00000000-0000-4000-8000-000000000001/5" {
		t.Errorf("keys %q", keys)
	}
}
