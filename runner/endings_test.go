package runner_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		for job, handler := range []string{"effect", "batches", "blind"} {
			args := any(effectArgs{Gate: gate(t), At: 1, Batches: 3})
			if handler == "blind" {
				args = nil
			}
			p := db.start(t, attempt{job: job, handler: handler, args: args})
			p.waitFor("at the gate")
			p.signal(syscall.SIGTERM)
			p.wantExit(contract.ExitInterrupted)
			if got := p.answer().Error; got != "interrupted" {
				t.Errorf("%s: error %q", handler, got)
			}
		}
		// Only the first batch was committed.
		db.want(t, "1", `SELECT count(*)::text FROM effects`)
		db.want(t, "Scheduled Interrupted, Scheduled Interrupted, Scheduled Interrupted",
			`SELECT string_agg(state || ' ' || outcome, ', ') FROM hangfire.runs JOIN hangfire.attempts USING (job_id, run) WHERE lease_expires_at IS NULL`)
	})
}

func TestTimedOut(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		p := db.start(t, attempt{handler: "effect", args: effectArgs{Gate: gate(t)}, env: map[string]string{contract.EnvTimeout: "2s"}})
		p.wantExit(contract.ExitTimeout)
		if got := p.answer().Error; got != "the time ran out" {
			t.Errorf("error %q", got)
		}
		db.want(t, "0", `SELECT count(*)::text FROM effects`)
		db.want(t, "Scheduled TimedOut the time ran out",
			`SELECT concat_ws(' ', state, outcome, error) FROM hangfire.runs JOIN hangfire.attempts USING (job_id, run) WHERE lease_expires_at IS NULL`)
	})
}

// TestDeafHandlers checks that a handler which ignores its context is abandoned and its
// lease given back.
func TestDeafHandlers(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	for job, handler := range []string{"deaf", "deaf-tx"} {
		interrupted := db.start(t, attempt{job: job, handler: handler})
		interrupted.waitFor(`"deaf"`)
		interrupted.signal(syscall.SIGTERM)
		interrupted.wantExit(contract.ExitInterrupted)
		if got := interrupted.answer().Error; !strings.Contains(got, "the handler had not returned 300ms later") {
			t.Errorf("error %q", got)
		}
		timedOut := db.start(t, attempt{job: job, number: 2, handler: handler, env: map[string]string{contract.EnvTimeout: "10s"}})
		timedOut.wantExit(contract.ExitTimeout)
		timedOut.waitFor(`"deaf"`)
	}
	db.want(t, "Interrupted TimedOut Interrupted TimedOut", `SELECT string_agg(outcome, ' ' ORDER BY job_id, token) FROM hangfire.attempts`)
}

func TestInterruptedWhileWaiting(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	args := effectArgs{Gate: gate(t)}
	first := db.start(t, attempt{handler: "effect", args: args, env: patient()})
	first.waitFor("at the gate")
	interrupted := db.start(t, attempt{handler: "effect", args: args, number: 2})
	interrupted.waitFor("waiting: another runner")
	interrupted.signal(syscall.SIGTERM)
	interrupted.wantExit(contract.ExitInterrupted)
	timedOut := db.start(t, attempt{handler: "effect", args: args, number: 3, env: map[string]string{contract.EnvTimeout: "2s"}})
	timedOut.wantExit(contract.ExitTimeout)
	openGate(t, args.Gate)
	first.wantExit(contract.ExitDone)
	db.wantOnce(t)
}

func TestEndings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		code    int
		error   string
		delay   string
		outcome string
	}{
		"panics":           {code: contract.ExitFailed, error: "panic: the sky falls", outcome: "Failed"},
		"permanent":        {code: contract.ExitPermanent, error: "no such customer", outcome: "FailedForGood"},
		"later":            {code: contract.ExitLater, error: "the upstream is busy", delay: "1m30s", outcome: "Later"},
		"commits":          {code: contract.ExitPermanent, error: "the handler ended the runner's transaction", outcome: "FailedForGood"},
		"commits-politely": {code: contract.ExitFailed, error: "the runner commits this transaction", outcome: "Failed"},
		"swallows":         {code: contract.ExitFailed, error: "a statement of the transaction failed", outcome: "Failed"},
		"leaks":            {code: contract.ExitFailed, error: "cannot use [redacted] with [redacted]", outcome: "Failed"},
		"too-much":         {code: contract.ExitFailed, error: "at most 4000 fit", outcome: "Failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t, false)
			p := db.start(t, attempt{handler: name})
			p.wantExit(test.code)
			message := p.answer()
			if !strings.Contains(message.Error, test.error) || message.RetryAfter != test.delay || strings.Contains(message.Error, "goroutine") {
				t.Errorf("message %+v", message)
			}
			db.want(t, test.outcome, `SELECT outcome FROM hangfire.attempts`)
			kept := db.text(t, `SELECT error FROM hangfire.attempts`)
			if !strings.Contains(kept, test.error) || strings.Contains(kept, "hunter2") {
				t.Errorf("the ledger has the error %q", kept)
			}
			if name == "panics" {
				p.waitFor("testHandlers") // the stack, in the log
			}
		})
	}
}
