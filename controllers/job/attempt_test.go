package job

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		end  runnerjob.End
		want v1alpha1.AttemptOutcome
	}{
		"failed":        {runnerjob.End{ExitCode: new(int32(1))}, "Failed"},
		"usage":         {runnerjob.End{ExitCode: new(int32(contract.ExitUsage))}, "PermanentFailure"},
		"permanent":     {runnerjob.End{ExitCode: new(int32(contract.ExitPermanent))}, "PermanentFailure"},
		"later":         {runnerjob.End{ExitCode: new(int32(contract.ExitLater))}, "Failed"},
		"timeout":       {runnerjob.End{ExitCode: new(int32(contract.ExitTimeout))}, "TimedOut"},
		"interrupted":   {runnerjob.End{ExitCode: new(int32(contract.ExitInterrupted))}, "Interrupted"},
		"pod deadline":  {runnerjob.End{ExitCode: new(int32(137)), Reason: "DeadlineExceeded"}, "TimedOut"},
		"killed":        {runnerjob.End{ExitCode: new(int32(137)), Reason: "OOMKilled"}, "Failed"},
		"no pod at all": {runnerjob.End{}, "Failed"},
	}
	for name, c := range cases {
		if got := outcomeOf(&c.end); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRetryDelayNeverOverflows(t *testing.T) {
	t.Parallel()
	o := observed{job: makeJob().Obj()}
	for failed := int32(1); failed < 200; failed++ {
		delay := retryDelay(o, failed)
		if delay < defaultMinDelay || delay > defaultMaxDelay {
			t.Fatalf("after %d failures: %s", failed, delay)
		}
	}
	asked := exited(contract.ExitLater, 1, contract.Message{RetryAfter: time.Duration(math.MaxInt64).String()})
	if delay := retryDelay(observed{job: makeJob().Obj(), seen: asked}, 1); delay != longestWait {
		t.Errorf("a runner may delay its retry by %s", delay)
	}
}

func TestResultOf(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"rows":3}`: `{"rows":3}`, `null`: "", ``: "", `1e999`: "", `{"a":`: "", `"text"`: `"text"`,
	} {
		got := ""
		if result := resultOf([]byte(raw)); result != nil {
			got = string(result.Raw)
		}
		if got != want {
			t.Errorf("resultOf(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestRecordKeepsTheLastTwenty(t *testing.T) {
	t.Parallel()
	var status v1alpha1.WorkspaceJobStatus
	for range 30 {
		record(&status, v1alpha1.Attempt{Number: status.NextNumber()})
	}
	if len(status.Attempts) != maxAttempts || status.Attempts[0].Number != 11 || status.NextNumber() != 31 {
		t.Errorf("%d attempts from %d, next %d", len(status.Attempts), status.Attempts[0].Number, status.NextNumber())
	}
}

func TestNamesFit(t *testing.T) {
	t.Parallel()
	if got := (&v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("a", 58)}}).AttemptName(maxNumber); len(got) > 63 {
		t.Errorf("%q has %d characters", got, len(got))
	}
}

// TestUsedUpNumbersAreReported checks that a job without an attempt number says what to do,
// and that requeueing it starts nothing: its Job's name might be too long.
func TestUsedUpNumbersAreReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    observed
		want string
	}{
		"retries were left": {observed{
			job: makeJob().Retries(3, time.Second).Attempt(1, maxNumber, at(0)).Obj(), child: makeChild(maxNumber, 1), seen: exited(1, 5, contract.Message{}),
		}, "attempt 9999 failed (exit code 1); this WorkspaceJob has used up its 9999 attempt numbers: create another one"},
		"no retry was left": {observed{
			job: makeJob().Retries(0, time.Second).Attempt(1, maxNumber, at(0)).Obj(), child: makeChild(maxNumber, 1), seen: exited(1, 5, contract.Message{}),
		}, "attempt 9999 failed (exit code 1); this WorkspaceJob has used up its 9999 attempt numbers: create another one"},
		"requeued": {observed{
			job: makeJob().Attempt(1, maxNumber, at(0)).Failed(at(5)).Finished("Failed", at(5)).RequeueAt(at(10)).Obj(),
		}, "this WorkspaceJob has used up its 9999 attempt numbers: create another one"},
	} {
		c.o.workspace, c.o.now = readyWorkspace(), at(20)
		d := decided(c.o)
		if d.status.State != v1alpha1.StateFailed || report.Reason(d.status.Conditions) != "RetriesExhausted" || d.status.Message != c.want || d.start != nil {
			t.Errorf("%s: %s: %s, starts %v", name, d.status.State, d.status.Message, d.start)
		}
	}
}

func TestBuildKeepsSecretsFromArguments(t *testing.T) {
	t.Parallel()
	job := makeJob().Args(`{"a":"$(DATABASE_URL) $$(X) $1"}`).Obj()
	env := build(readyWorkspace(), job, v1alpha1.Attempt{Number: 3, Run: 2, Job: "nightly-3"}).Spec.Template.Spec.Containers[0].Env
	values := map[string]corev1.EnvVar{}
	for _, e := range env {
		values[e.Name] = e
	}
	if got, want := values[contract.EnvArgs].Value, `{"a":"$$(DATABASE_URL) $$$$(X) $$1"}`; got != want {
		t.Errorf("args are %s, want %s", got, want)
	}
	for _, name := range []string{contract.EnvJobID, contract.EnvRun, contract.EnvAttempt} {
		if values[name].ValueFrom == nil || values[name].ValueFrom.FieldRef == nil {
			t.Errorf("%s is not taken from the pod, so an adopted Job could not have it", name)
		}
	}
	if values[contract.EnvDatabaseURL].ValueFrom.SecretKeyRef == nil {
		t.Error("the database's URL is not a reference to the Secret")
	}
}

func TestEventsReportEachFailedAttempt(t *testing.T) {
	t.Parallel()
	o := observed{
		job: makeJob().Retries(1, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).Attempt(1, 2, at(15)).Obj(), child: makeChild(2, 1),
		seen: exited(1, 20, contract.Message{Error: "boom"}), now: at(21), workspace: readyWorkspace(), limits: Limits{Pending: time.Hour},
	}
	d := decided(o)
	attempt := &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: "nightly-2"},
	}
	want := []report.Event{
		{Type: "Warning", Reason: "AttemptFailed", Related: attempt, Note: "attempt 2 failed (exit code 1): boom"},
		{Type: "Warning", Reason: "RetriesExhausted", Note: "attempt 2 failed (exit code 1): boom; no attempt is left after 2"},
	}
	if diff := cmp.Diff(want, eventsOf(o.job.Namespace, &o.job.Status, &d.status)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if again := eventsOf(o.job.Namespace, &d.status, &d.status); len(again) > 0 {
		t.Errorf("events without a transition: %v", again)
	}
	if again := measuresOf(o.job, &d.status, &d.status); len(again) > 0 {
		t.Errorf("measures without a transition: %v", again)
	}
}

func TestASuccessAtOnceHasNoEventButIsMeasured(t *testing.T) {
	t.Parallel()
	o := observed{
		job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: succeeded(5, "1"),
		now: at(6), workspace: readyWorkspace(), limits: Limits{Pending: time.Hour},
	}
	d := decided(o)
	if events := eventsOf(o.job.Namespace, &o.job.Status, &d.status); len(events) > 0 {
		t.Errorf("events %v", events)
	}
	want := []measure{{queued: new(time.Second)}, {outcome: "Succeeded", ran: 4 * time.Second}}
	if diff := cmp.Diff(want, measuresOf(o.job, &o.job.Status, &d.status), cmp.AllowUnexported(measure{})); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
}
