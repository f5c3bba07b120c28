package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	createSessions = `CREATE TABLE sessions (id bigint PRIMARY KEY, ended timestamptz)`
	// fillSessions inserts 300 old sessions and 200 new ones.
	fillSessions = `INSERT INTO sessions
		SELECT n, now() - CASE WHEN n <= 300 THEN interval '400 days' ELSE interval '1 day' END FROM generate_series(1, 500) AS n`
	countSessions = `SELECT count(*) FROM sessions`
)

// TestCleanupTouchesItsOwnTenantOnly sets up two tenants as docs/install.md says, in
// namespaces that the operator creates.
func TestCleanupTouchesItsOwnTenantOnly(t *testing.T) {
	t.Parallel()
	var tenants []*tenant
	for _, name := range []string{"acme-own", "globex-own"} {
		tn := newDatabase(t, name)
		tn.create()
		tn.giveSecret(tn.url)
		tenants = append(tenants, tn)
	}
	acme, globex := tenants[0], tenants[1]
	for _, tn := range tenants {
		tn.waitReady()
		tn.exec(createSessions)
		tn.exec(fillSessions)
	}
	acme.start(acme.makeJob("cleanup", "data-cleanup").ArgsOf(map[string]any{
		"table": "sessions", "column": "ended", "olderThan": "365d", "batchSize": 100,
	}))

	for _, name := range []string{"Succeeded", "Ready"} {
		acme.kubectl("wait", "--for=condition="+name, "workspacejob/cleanup", "--timeout=3m")
	}
	if got := acme.count(countSessions); got != 200 {
		t.Errorf("acme has %d sessions, want 200", got)
	}
	if got := globex.count(countSessions); got != 500 {
		t.Errorf("globex has %d sessions, want 500", got)
	}
	var result struct{ Rows, Batches int }
	acme.result("cleanup", &result)
	if result.Rows != 300 || result.Batches != 3 {
		t.Errorf("the result has %d rows in %d batches", result.Rows, result.Batches)
	}
	wantLines(t, acme.kubectl("get", "workspacejobs", "-A"),
		`NAMESPACE +NAME +HANDLER +STATE +ATTEMPTS +STARTED +FINISHED +AGE`,
		`workspace-acme-own +cleanup +data-cleanup +Succeeded +1 +\d+[ms]\S* +\d+[ms]\S* +\d+[ms]`)
	// The counts of jobs may be ten seconds old.
	testenv.Eventually(t, "kubectl get workspaces", func(context.Context) error {
		return matchLines(acme.kubectl("get", "workspaces"),
			`NAME +NAMESPACE +READY +DATABASE +ENQUEUED +PROCESSING +FAILED +AGE`,
			`acme-own +workspace-acme-own +True +DatabaseReady +0 +0 +0 +\d+[ms]`,
			`globex-own +workspace-globex-own +True +DatabaseReady +0 +0 +0 +\d+[ms]`)
	})
	if output := globex.kubectl("get", "wj"); output != "" {
		t.Errorf("globex has jobs:\n%s", output)
	}
}

func TestReportIsStoredOnceForItsPeriod(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "report")
	tn.exec(`INSERT INTO hangfire.report_queries (name, query)
		VALUES ('numbers', 'SELECT n AS number, $1::timestamptz AS since FROM generate_series(1, 3) AS n')`)
	for _, name := range []string{"report", "same-report"} {
		tn.start(tn.makeJob(name, "report").ArgsOf(map[string]any{"id": "numbers", "period": "2026-01"}))
		tn.waitFinal(name, v1alpha1.StateSucceeded)
	}
	if got := tn.count(`SELECT count(*) FROM hangfire.reports WHERE id = 'numbers' AND row_count = 3 AND csv LIKE 'number,since%'`); got != 1 {
		t.Errorf("there are %d reports, want 1", got)
	}
}

func TestSyncThatFailsTwiceReportsEachAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "sync")
	tn.exec(`CREATE TABLE prices (plan text PRIMARY KEY, cents integer)`)
	tn.start(tn.makeJob("sync-prices", "external-sync").Retries(5, time.Second).ArgsOf(map[string]any{
		"url": startSource(t, 2), "items": "items", "table": "prices", "key": []string{"plan"},
		"columns": map[string]string{"plan": "plan", "cents": "cents"},
	}))

	job := tn.waitFinal("sync-prices", v1alpha1.StateSucceeded)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	for _, attempt := range job.Status.Attempts[:2] {
		wantWords(t, "the attempt's error", attempt.Error, "503")
	}
	if got := tn.count(`SELECT sum(cents) FROM prices`); got != 300 {
		t.Errorf("the sum of the prices is %d, want 300", got)
	}
	description := tn.kubectl("describe", "workspacejob", "sync-prices")
	_, events, _ := strings.Cut(description, "\nEvents:")
	wantLines(t, events,
		`Warning +AttemptFailed .*attempt 1 failed \(exit code 1\): .*503`,
		`Warning +AttemptFailed .*attempt 2 failed \(exit code 1\): .*503`,
		`Normal +Succeeded .*attempt 3 succeeded`)
}

// startSource starts a server on the host's address that serves a list of two prices after
// answering some requests with 503. It returns the URL.
func startSource(t *testing.T, refusals int32) string {
	t.Helper()
	var asked atomic.Int32
	return startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= refusals {
			http.Error(w, "down for a while", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"items": [{"plan": "small", "cents": 100}, {"plan": "large", "cents": 200}]}`)
	})
}

func TestDelayedJobDoesNotRunBeforeItsTime(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "delayed")
	// One that waits as long as the test needs to see it wait.
	tn.start(tn.makeSQL("later", insertEffect).Delay(time.Hour))
	waiting := tn.waitState("later", v1alpha1.StateScheduled)
	if next, due := waiting.Status.NextAttemptAt, waiting.CreationTimestamp.Add(time.Hour); next == nil || !next.Time.Equal(due) {
		t.Errorf("the next attempt is due at %v, want %v", next, due)
	}
	tn.wantNothingRun("later")

	const delay = 10 * time.Second
	tn.start(tn.makeSQL("soon", insertEffect).Delay(delay))
	job := tn.waitFinal("soon", v1alpha1.StateSucceeded)
	due := job.CreationTimestamp.Add(delay)
	if started := job.Status.StartedAt; started == nil || started.Time.Before(due) {
		t.Errorf("it started at %v, before %v", started, due)
	}
	if early := tn.count(`SELECT count(*) FROM effects WHERE at < $1`, due); early > 0 {
		t.Errorf("%d effects happened before %v", early, due)
	}
	tn.wantEffects(1)
}

// kubectl runs kubectl in the tenant's namespace.
func (tn *tenant) kubectl(args ...string) string {
	tn.t.Helper()
	output, err := shared.kubectl(tn.t.Context(), append([]string{"-n", tn.namespace}, args...)...)
	if err != nil {
		tn.t.Fatal(err)
	}
	return output
}

func (tn *tenant) result(name string, into any) {
	tn.t.Helper()
	job, err := tn.job(tn.t.Context(), name)
	if err != nil {
		tn.t.Fatal(err)
	}
	if job.Status.Result == nil {
		tn.t.Fatalf("WorkspaceJob %q has no result", name)
	}
	if err := json.Unmarshal(job.Status.Result.Raw, into); err != nil {
		tn.t.Fatal(err)
	}
}

// wantLines fails the test unless lines of the text match, in this order.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	if err := matchLines(text, lines...); err != nil {
		t.Error(err)
	}
}

func matchLines(text string, lines ...string) error {
	rest := text
	for _, line := range lines {
		at := regexp.MustCompile(line).FindStringIndex(rest)
		if at == nil {
			return fmt.Errorf("nothing matches %q, or not in this order:\n%s", line, text)
		}
		rest = rest[at[1]:]
	}
	return nil
}
