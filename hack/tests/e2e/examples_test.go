package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// createRadacct creates the table for the handler close-sessions, with two sessions without
// an update for three hours and a current one. Each statement that closes sessions is an
// effect, and waits at the barrier.
const createRadacct = `
	CREATE TABLE radacct (acctupdatetime timestamptz NOT NULL, acctstoptime timestamptz);
	INSERT INTO radacct VALUES (now(), NULL), (now() - interval '3 hours', NULL), (now() - interval '3 hours', NULL);
	CREATE FUNCTION count_effect() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		` + insertEffect + `;
		PERFORM pg_advisory_xact_lock_shared(1);
		RETURN NULL;
	END $$;
	CREATE TRIGGER count_effect AFTER UPDATE ON radacct FOR EACH STATEMENT EXECUTE FUNCTION count_effect()`

const countClosed = `SELECT count(*) FROM radacct WHERE acctstoptime IS NOT NULL`

// closeSessions returns a job for the examples' handler.
func (tn *tenant) closeSessions(name, idle string) *objects.WorkspaceJobBuilder {
	return tn.makeJob(name, "close-sessions").ArgsOf(map[string]any{"idle": idle})
}

// wantClosed checks that the job closed the two sessions in one statement.
func (tn *tenant) wantClosed(name string) {
	tn.t.Helper()
	tn.wantEffects(1)
	if got := tn.count(countClosed); got != 2 {
		tn.t.Errorf("%d sessions are closed, want 2", got)
	}
	var result struct{ Closed int }
	if tn.result(name, &result); result.Closed != 2 {
		tn.t.Errorf("the result has %d closed sessions, want 2", result.Closed)
	}
}

// newExample creates a tenant with the example's runner image.
func newExample(t *testing.T, example runnerExample, name string) *tenant {
	t.Helper()
	if err := example.load(); err != nil {
		t.Fatal(err)
	}
	tn := newTenantWithEffects(t, example.name+name, withImage(example))
	tn.exec(createRadacct)
	return tn
}

func withImage(example runnerExample) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Image = exampleImage(example.name) }
}

// TestExampleRunsJobs checks that the example migrates the database, and how its jobs end.
func TestExampleRunsJobs(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "")
			tn.start(tn.closeSessions("close", "2h"))
			job := tn.waitFinal("close", v1alpha1.StateSucceeded)
			wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
			tn.wantClosed("close")

			tn.start(tn.closeSessions("bad-args", "2 hours"))
			job = tn.waitFinal("bad-args", v1alpha1.StateFailed)
			wantAttempts(t, job, v1alpha1.OutcomePermanentFailure)
			wantFailure(t, job, contract.ExitUsage, example.badArgs)

			tn.exec(`ALTER TABLE radacct RENAME TO moved`)
			tn.start(tn.closeSessions("no-table", "2h"))
			job = tn.waitFinal("no-table", v1alpha1.StateFailed)
			wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeFailed)
			wantFailure(t, job, contract.ExitFailed, example.noTable)
			tn.wantEffects(1)
		})
	}
}

// wantFailure checks the last attempt's exit code, and that its error is also in the job's
// message.
func wantFailure(t *testing.T, job *v1alpha1.WorkspaceJob, code int32, words string) {
	t.Helper()
	last := job.Status.Attempts[len(job.Status.Attempts)-1]
	if last.ExitCode == nil || *last.ExitCode != code {
		t.Errorf("WorkspaceJob %q: exit code %v, not %d", job.Name, last.ExitCode, code)
	}
	wantWords(t, "the attempt's error", last.Error, words)
	wantWords(t, "the job's message", job.Status.Message, words)
}

// wantClosedThoughKilled checks that the first attempt was killed, the second succeeded, and
// the job took effect once.
func (tn *tenant) wantClosedThoughKilled(name string) {
	tn.t.Helper()
	job := tn.waitFinal(name, v1alpha1.StateSucceeded)
	wantAttempts(tn.t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantKilled(tn.t, job)
	tn.wantClosed(name)
}

func TestExampleTakesEffectOnceWhenKilledAtWork(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "-killed")
			barrier := tn.closeBarrier()
			tn.start(tn.closeSessions("close", "2h"))
			barrier.waitFor(1)
			signalPod(t, tn.runningPod("close", 1), syscall.SIGKILL)
			barrier.lift()

			tn.wantClosedThoughKilled("close")
		})
	}
}

// TestExampleTakesEffectOnceWhenKilledAfterItsCommit kills a run that has taken effect but
// not reported it: the next attempt should only report it.
func TestExampleTakesEffectOnceWhenKilledAfterItsCommit(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			if err := example.load(); err != nil {
				t.Fatal(err)
			}
			tn, held := newTenantBehind(t, example.name+"-late", func(tn *tenant) *proxy { return tn.holdAnswer("UPDATE radacct SET") }, withImage(example))
			tn.exec(createRadacct)
			tn.start(tn.closeSessions("close", "2h"))
			held.waitHeld(tn)
			tn.wantEffects(1)
			signalPod(t, tn.runningPod("close", 1), syscall.SIGKILL)

			tn.wantClosedThoughKilled("close")
		})
	}
}

func TestExampleIsCancelled(t *testing.T) {
	t.Parallel()
	for _, example := range runnerExamples() {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			tn := newExample(t, example, "-cancelled")
			barrier := tn.closeBarrier()
			tn.start(tn.closeSessions("close", "2h"))
			barrier.waitFor(1)
			tn.waitState("close", v1alpha1.StateProcessing)
			log := tn.follow(tn.runningPod("close", 1))
			tn.change("close", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })

			job := tn.waitFinal("close", v1alpha1.StateDeleted)
			wantAttempts(t, job, v1alpha1.OutcomeCancelled)
			wantLines(t, log(), fmt.Sprintf(`"exitCode": ?%d\b`, contract.ExitInterrupted))
			barrier.waitFor(0)
			barrier.lift()
			tn.wantEffects(0)
		})
	}
}

// follow reads a pod's log from now on. The function that it returns waits for the end of
// the log.
func (tn *tenant) follow(pod *corev1.Pod) func() string {
	tn.t.Helper()
	stream, err := shared.clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(tn.t.Context())
	if err != nil {
		tn.t.Fatal(err)
	}
	return func() string {
		defer stream.Close()
		text, err := io.ReadAll(stream)
		if err != nil {
			tn.t.Errorf("the log of pod %q: %v", pod.Name, err)
		}
		return string(text)
	}
}

// TestPythonExampleNotifiesAReceiver checks the example's other handler: it retries when a
// busy receiver asks it to, with the same key, but not when a receiver refuses.
func TestPythonExampleNotifiesAReceiver(t *testing.T) {
	t.Parallel()
	tn := newExample(t, runnerExamples()[0], "-notify")
	answers := []int{http.StatusServiceUnavailable, http.StatusOK, http.StatusNotFound}
	keys := make(chan string, len(answers))
	url := startReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(answers[len(keys)-1])
	})
	tn.start(tn.makeJob("notify", "notify").ArgsOf(map[string]any{"url": url}))
	job := tn.waitFinal("notify", v1alpha1.StateSucceeded)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantWords(t, "the attempt's error", job.Status.Attempts[0].Error, "the receiver answered 503")
	tn.start(tn.makeJob("refused", "notify").ArgsOf(map[string]any{"url": url}))
	job = tn.waitFinal("refused", v1alpha1.StateFailed)
	wantAttempts(t, job, v1alpha1.OutcomePermanentFailure)
	wantFailure(t, job, contract.ExitPermanent, "the receiver answered 404")
	if len(keys) != len(answers) {
		t.Fatalf("the receiver got %d requests, want %d", len(keys), len(answers))
	}
	if first, again, other := <-keys, <-keys, <-keys; first != again || again == other {
		t.Errorf("the requests had the keys %q, %q and %q", first, again, other)
	}
}

// startReceiver starts a server on the host's address, which pods can reach, and returns its
// URL.
func startReceiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(shared.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}
