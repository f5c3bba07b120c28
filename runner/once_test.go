package runner_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// wantOnce checks that job 1's run has taken effect once, and that the ledger says so.
func (db testDB) wantOnce(t *testing.T) {
	t.Helper()
	db.want(t, "1", `SELECT count(*)::text FROM effects`)
	db.want(t, "1", `SELECT balance::text FROM accounts`)
	db.want(t, "Succeeded", `SELECT state FROM hangfire.runs`)
	db.want(t, "1", `SELECT count(*)::text FROM hangfire.attempts WHERE outcome = 'Succeeded'`)
}

func TestOnceKilledBeforeCommit(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		args := effectArgs{Gate: gate(t)}
		first := db.start(t, attempt{handler: "effect", args: args, env: patient()})
		first.waitFor("at the gate")
		first.kill()
		openGate(t, args.Gate)
		second := db.start(t, attempt{handler: "effect", args: args, number: 2})
		second.waitFor("waiting: another runner works on this job")
		db.exec(t, `UPDATE hangfire.runs SET lease_expires_at = clock_timestamp()`)
		second.wantExit(contract.ExitDone)
		db.wantOnce(t)
		db.want(t, "Lost Succeeded", `SELECT string_agg(outcome, ' ' ORDER BY token) FROM hangfire.attempts`)
	})
}

// TestOnceKilledAfterCommit kills a process between its commit and its exit. The file of
// the termination message, a FIFO that nobody reads, holds it there.
func TestOnceKilledAfterCommit(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		for job, handler := range map[int]string{1: "effect", 2: "batches"} {
			args := effectArgs{Batches: 3, At: -1}
			fifo := filepath.Join(t.TempDir(), "message")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			held := db.start(t, attempt{job: job, handler: handler, args: args, env: map[string]string{contract.EnvMessagePath: fifo}})
			db.eventually(t, "1", fmt.Sprintf(`SELECT count(*)::text FROM hangfire.runs WHERE state = 'Succeeded' AND job_id = '%s'`, jobID(job)))
			held.kill()
			held.message = "" // nobody wrote it
			again := db.start(t, attempt{job: job, handler: handler, args: args, number: 2})
			again.wantExit(contract.ExitDone)
			again.waitFor("the run has succeeded before")
			if result := string(again.answer().Result); result != `{"attempt":1}` && result != `{"batches":3}` {
				t.Errorf("result %s", result)
			}
		}
		db.want(t, "4", `SELECT count(*)::text FROM effects`)
		db.want(t, "2", `SELECT count(*)::text FROM hangfire.attempts`)
	})
}

func TestOnceWithTwoAtOnce(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		args := effectArgs{Gate: gate(t)}
		var both []*proc
		for range 2 {
			both = append(both, db.start(t, attempt{handler: "effect", args: args, env: patient()}))
		}
		db.eventually(t, "1", `SELECT count(*)::text FROM hangfire.runs`)
		db.awaitHeartbeat(t)
		openGate(t, args.Gate)
		for _, p := range both {
			p.wantExit(contract.ExitDone)
			if got := string(p.answer().Result); got != `{"attempt":1}` {
				t.Errorf("result %s", got)
			}
		}
		db.wantOnce(t)
		db.want(t, "1", `SELECT count(*)::text FROM hangfire.attempts`)
	})
}

// awaitHeartbeat waits until the one run's lease is extended.
func (db testDB) awaitHeartbeat(t *testing.T) {
	t.Helper()
	before := db.text(t, `SELECT heartbeat_at::text FROM hangfire.runs`)
	db.eventually(t, "true", fmt.Sprintf(`SELECT (heartbeat_at > '%s')::text FROM hangfire.runs`, before))
}

// TestOnceFrozenInTransaction freezes a process in an open transaction, with the
// account's row locked.
func TestOnceFrozenInTransaction(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		args := effectArgs{Gate: gate(t)}
		frozen := db.start(t, attempt{handler: "effect", args: args})
		frozen.waitFor("at the gate")
		frozen.signal(syscall.SIGSTOP)
		openGate(t, args.Gate)
		second := db.start(t, attempt{handler: "effect", args: args, number: 2})
		second.wantExit(contract.ExitDone)
		db.wantOnce(t)
		frozen.signal(syscall.SIGCONT)
		frozen.wantExit(contract.ExitDone)
		if got := string(frozen.answer().Result); got != `{"attempt":2}` {
			t.Errorf("result %s", got)
		}
		db.wantOnce(t)
		db.want(t, "Lost Succeeded", `SELECT string_agg(outcome, ' ' ORDER BY token) FROM hangfire.attempts`)
	})
}

// TestOnceFrozenOutOfReach checks that a transaction which the successor can neither
// find nor end still cannot commit.
func TestOnceFrozenOutOfReach(t *testing.T) {
	t.Parallel()
	for _, handler := range []string{"hidden", "hidden-batch"} {
		t.Run(handler, func(t *testing.T) {
			t.Parallel()
			db := newDB(t, false)
			args := effectArgs{Gate: gate(t)}
			frozen := db.start(t, attempt{handler: handler, args: args})
			frozen.waitFor("at the gate")
			frozen.signal(syscall.SIGSTOP)
			openGate(t, args.Gate)
			second := db.start(t, attempt{handler: handler, args: args, number: 2})
			second.wantExit(contract.ExitDone)
			db.want(t, "1", `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hidden'`)
			frozen.signal(syscall.SIGCONT)
			frozen.wantExit(contract.ExitDone)
			db.want(t, "1", `SELECT count(*)::text FROM effects`)
			db.want(t, "Lost Succeeded", `SELECT string_agg(outcome, ' ' ORDER BY token) FROM hangfire.attempts`)
		})
	}
}

// TestOnceWokenBeforeSuccessorIsDone checks that a process which wakes while its
// successor is at work waits and does not interfere.
func TestOnceWokenBeforeSuccessorIsDone(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		args := effectArgs{Gate: gate(t)}
		frozen := db.start(t, attempt{handler: "effect", args: args})
		frozen.waitFor("at the gate")
		frozen.signal(syscall.SIGSTOP)
		second := db.start(t, attempt{handler: "effect", args: args, number: 2})
		second.waitFor("at the gate")
		frozen.signal(syscall.SIGCONT)
		frozen.waitFor("the lease was lost")
		openGate(t, args.Gate)
		second.wantExit(contract.ExitDone)
		frozen.wantExit(contract.ExitDone)
		db.wantOnce(t)
	})
}

// TestOnceFrozenBetweenBatches freezes a process between two batches, outside any
// transaction.
func TestOnceFrozenBetweenBatches(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		args := effectArgs{Gate: gate(t), At: 5, Batches: 10}
		frozen := db.start(t, attempt{handler: "batches", args: args})
		frozen.waitFor("at the gate")
		frozen.signal(syscall.SIGSTOP)
		openGate(t, args.Gate)
		second := db.start(t, attempt{handler: "batches", args: args, number: 2})
		second.wantExit(contract.ExitDone)
		db.wantBatches(t, 10)
		frozen.signal(syscall.SIGCONT)
		frozen.wantExit(contract.ExitDone)
		db.wantBatches(t, 10)
		db.want(t, "5", `SELECT min(batch)::text FROM effects WHERE id > 5`)
	})
}

// TestOnceFrozenInBatch freezes a process in a batch's transaction.
func TestOnceFrozenInBatch(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		const batches = 20 // enough of them are left when the second one is seen
		args := effectArgs{At: -1, Batches: batches, Pause: 500}
		frozen := db.start(t, attempt{handler: "batches", args: args})
		db.eventually(t, "true", `SELECT (count(*) >= 2)::text FROM effects`)
		frozen.signal(syscall.SIGSTOP)
		second := db.start(t, attempt{handler: "batches", args: args, number: 2})
		second.wantExit(contract.ExitDone)
		frozen.signal(syscall.SIGCONT)
		frozen.wantExit(contract.ExitDone)
		db.wantBatches(t, batches)
	})
}

// wantBatches checks that each of n batches has taken effect once.
func (db testDB) wantBatches(t *testing.T, n int) {
	t.Helper()
	db.want(t, fmt.Sprint(n), `SELECT count(*)::text FROM effects`)
	db.want(t, fmt.Sprint(n), `SELECT count(DISTINCT batch)::text FROM effects`)
	db.want(t, fmt.Sprint(n*(n-1)/2), `SELECT balance::text FROM accounts`)
	db.want(t, "Succeeded", `SELECT state FROM hangfire.runs`)
}

// TestOnceUnderRandomKills kills the processes of a run at random moments: no batch may
// be lost or take effect twice.
func TestOnceUnderRandomKills(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		const batches, kills = 60, 6
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		args := effectArgs{At: -1, Batches: batches, Pause: 20}
		for number := 1; ; number++ {
			p := db.start(t, attempt{handler: "batches", args: args, number: number})
			if number > kills {
				p.wantExit(contract.ExitDone)
				break
			}
			p.waitFor("attempt started")
			select {
			case <-p.done:
			case <-time.After(time.Duration(random.IntN(250)) * time.Millisecond):
			}
			p.kill()
		}
		db.wantBatches(t, batches)
	})
}

// makeCommitsSlow creates the table of the handler slow-commit, whose commits wait until
// finish is called.
func (db testDB) makeCommitsSlow(t *testing.T) (finish func()) {
	t.Helper()
	for _, sql := range []string{
		`CREATE TABLE slow_effects (job text)`,
		`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON slow_effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()`,
	} {
		db.exec(t, sql)
	}
	holder, err := db.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_xact_lock(1)`); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := holder.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOnceInterruptedInCommit checks that a commit which takes longer than a lease is
// not overtaken while nobody waits for the lease, and not interrupted by SIGTERM.
func TestOnceInterruptedInCommit(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	finish := db.makeCommitsSlow(t)
	p := db.start(t, attempt{handler: "slow-commit"})
	db.eventually(t, "1", `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query ILIKE 'commit%' AND application_name LIKE 'wsj/%'`)
	p.signal(syscall.SIGTERM)
	db.eventually(t, "true", `SELECT (lease_expires_at < clock_timestamp())::text FROM hangfire.runs`)
	finish()
	p.wantExit(contract.ExitDone)
	db.want(t, "1", `SELECT count(*)::text FROM slow_effects`)
	db.want(t, "Succeeded", `SELECT state FROM hangfire.runs`)
}

// TestOnceWithConnectionLostInCommit loses the connection in the middle of the commit.
// Whether the commit took effect is in the ledger, which each attempt asks.
func TestOnceWithConnectionLostInCommit(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	finish := db.makeCommitsSlow(t)
	first := db.start(t, attempt{handler: "slow-commit"})
	db.eventually(t, "1", `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query ILIKE 'commit%' AND application_name LIKE 'wsj/%'`)
	first.wantExit(contract.ExitFailed)
	db.want(t, "0", `SELECT count(*)::text FROM slow_effects`)
	finish()
	second := db.start(t, attempt{handler: "slow-commit", number: 2})
	second.wantExit(contract.ExitDone)
	db.want(t, "1", `SELECT count(*)::text FROM slow_effects`)
}

// TestGreedyHandlerKeepsItsLease checks that heartbeats get through while the handler holds
// all of its connections.
func TestGreedyHandlerKeepsItsLease(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	args := effectArgs{Gate: gate(t)}
	first := db.start(t, attempt{handler: "greedy", args: args, env: patient()})
	first.waitFor("at the gate")
	db.awaitHeartbeat(t)
	second := db.start(t, attempt{handler: "greedy", args: args, number: 2})
	second.waitFor("waiting: another runner works on this job")
	openGate(t, args.Gate)
	first.wantExit(contract.ExitDone)
	second.wantExit(contract.ExitDone)
	db.want(t, "1", `SELECT count(*)::text FROM hangfire.attempts`)
}
