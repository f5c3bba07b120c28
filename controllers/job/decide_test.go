package job

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// outline is what a case expects of a decision.
type outline struct {
	State    v1alpha1.JobState
	Reason   string
	Start    string
	Stop     string
	Remove   bool
	After    time.Duration
	Attempts int32
	Next     string
}

func outlineOf(d decision) outline {
	o := outline{
		State: d.status.State, Reason: report.Reason(d.status.Conditions), Remove: d.remove, After: d.after, Attempts: d.status.RunAttempts,
	}
	if d.start != nil {
		o.Start = d.start.Job
	}
	if d.stop != nil {
		o.Stop = d.stop.Name
	}
	if d.status.NextAttemptAt != nil {
		o.Next = d.status.NextAttemptAt.UTC().Format(time.TimeOnly)
	}
	return o
}

func TestDecide(t *testing.T) {
	t.Parallel()
	oldWorkspace := readyWorkspace()
	oldWorkspace.Generation = 4
	brokenDatabase := readyWorkspace()
	brokenDatabase.Status.Conditions[0].Status = metav1.ConditionFalse
	leaving := readyWorkspace()
	leaving.DeletionTimestamp = when(0)

	cases := map[string]struct {
		o    observed
		want outline
	}{
		"a new job starts at once": {
			observed{job: makeJob().Obj()},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"a delayed job waits for its time": {
			observed{job: makeJob().Delay(time.Minute).Obj(), now: at(20)},
			outline{State: "Scheduled", Reason: "Scheduled", After: 40 * time.Second, Next: "12:01:00"},
		},
		"a delayed job starts on time": {
			observed{job: makeJob().Delay(time.Minute).NextAttempt(at(60)).Obj(), now: at(60)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"runAt waits": {
			observed{job: makeJob().RunAt(at(90)).Obj()},
			outline{State: "Scheduled", Reason: "Scheduled", After: 90 * time.Second, Next: "12:01:30"},
		},
		"runAt in the past starts at once": {
			observed{job: makeJob().RunAt(at(-90)).Obj()},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"no workspace: nothing starts, however long it is due": {
			observed{job: makeJob().RunAt(at(90)).Obj(), workspace: nil},
			outline{State: "Enqueued", Reason: "NotInWorkspace"},
		},
		"a workspace whose spec has just changed is waited for": {
			observed{job: makeJob().Obj(), workspace: oldWorkspace},
			outline{State: "Enqueued", Reason: "WorkspaceNotReady"},
		},
		"a database that isn't ready is waited for": {
			observed{job: makeJob().Obj(), workspace: brokenDatabase},
			outline{State: "Enqueued", Reason: "WorkspaceNotReady"},
		},
		"a workspace that is being deleted accepts no job": {
			observed{job: makeJob().Obj(), workspace: leaving},
			outline{State: "Enqueued", Reason: "WorkspaceNotReady"},
		},
		"args over the limit never run": {
			observed{job: makeJob().Args(`{"a":"` + strings.Repeat("x", contract.MaxArgs) + `"}`).Obj()},
			outline{State: "Failed", Reason: "InvalidArguments"},
		},
		"somebody else's Job under the next name": {
			observed{job: makeJob().Obj(), foreign: "it is taken"},
			outline{State: "Enqueued", Reason: "NameTaken", After: report.NameTakenRetry},
		},
		"cancelled before it started": {
			observed{job: makeJob().Delay(time.Hour).Cancelled().Obj()},
			outline{State: "Deleted", Reason: "Cancelled"},
		},
		"the operator died after making the Job: it is adopted, not made again": {
			observed{job: makeJob().Obj(), child: makeChild(1, 1)},
			outline{State: "Enqueued", Reason: "Enqueued", After: podRecheck, Attempts: 1},
		},
		"the operator died after making the Job, and the job was cancelled since": {
			observed{job: makeJob().Cancelled().Obj(), child: makeChild(1, 1)},
			outline{State: "Enqueued", Reason: "Cancelling", Stop: "nightly-1", Attempts: 1},
		},
		"the operator died after making the Job, which has ended since": {
			observed{job: makeJob().Obj(), child: makeChild(1, 1), seen: succeeded(5, "1")},
			outline{State: "Succeeded", Reason: "Succeeded", Attempts: 1},
		},
		"the operator died after making the Job of a second run": {
			observed{
				job:   makeJob().Attempt(1, 1, at(0)).Failed(at(5)).Finished("Failed", at(5)).RequeueAt(at(10)).Obj(),
				child: makeChild(2, 2), now: at(20),
			},
			outline{State: "Enqueued", Reason: "Enqueued", After: podRecheck, Attempts: 1},
		},
		"the pod runs": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{StartedAt: when(2)}},
			outline{State: "Processing", Reason: "Processing", Attempts: 1},
		},
		"the pod can't start": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{Waiting: "no image"}, now: at(5)},
			outline{State: "Enqueued", Reason: "PodPending", After: podRecheck, Attempts: 1},
		},
		"the pod could not start within the limit: it is stopped first": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{Waiting: "no image"}, now: at(600)},
			outline{State: "Enqueued", Reason: "PodPending", Stop: "nightly-1", Attempts: 1},
		},
		"the pod that could not start has been stopped: the next attempt follows": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Outcome("NotStarted", "no image").Retries(3, 10*time.Second).Backoff(3, time.Minute).Obj(), child: suspendedChild(1), now: at(610)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 10 * time.Second, Attempts: 1, Next: "12:10:20"},
		},
		"cancelled while it runs: its Job is stopped first": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Cancelled().Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{StartedAt: when(2)}},
			outline{State: "Processing", Reason: "Cancelling", Stop: "nightly-1", Attempts: 1},
		},
		"cancelled, and its Job has stopped": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Cancelled().Outcome("Cancelled", "").Obj(), child: suspendedChild(1)},
			outline{State: "Deleted", Reason: "Cancelled", Attempts: 1},
		},
		"cancelled, and its runner exited with 143": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Cancelled().Outcome("Cancelled", "").Obj(), child: makeChild(1, 1), seen: exited(143, 9, contract.Message{})},
			outline{State: "Deleted", Reason: "Cancelled", Attempts: 1},
		},
		"cancelled too late: it had committed": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Cancelled().Outcome("Cancelled", "").Obj(), child: suspendedChild(1), seen: succeeded(5, `1`)},
			outline{State: "Succeeded", Reason: "Succeeded", Attempts: 1},
		},
		"an attempt failed: the second follows after minDelay": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{Error: "boom"}), now: at(6)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 9 * time.Second, Attempts: 1, Next: "12:00:15"},
		},
		"the second delay is minDelay·factor": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).Attempt(1, 2, at(15)).Obj(), child: makeChild(2, 1), seen: exited(1, 20, contract.Message{}), now: at(20)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 30 * time.Second, Attempts: 2, Next: "12:00:50"},
		},
		"the third delay is limited to maxDelay": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(1)).Attempt(1, 2, at(2)).Failed(at(3)).Attempt(1, 3, at(4)).Obj(), child: makeChild(3, 1), seen: exited(1, 20, contract.Message{}), now: at(20)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: time.Minute, Attempts: 3, Next: "12:01:20"},
		},
		"a retry that is not due yet": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(15)).Obj(), now: at(10)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 5 * time.Second, Attempts: 1, Next: "12:00:15"},
		},
		"a retry that is due": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(15)).Obj(), now: at(15)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-2", After: podRecheck, Attempts: 2},
		},
		"a retry whose Job exists already adopts it": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(15)).Obj(), child: makeChild(2, 1), now: at(15)},
			outline{State: "Enqueued", Reason: "Enqueued", After: podRecheck, Attempts: 2},
		},
		"the runner asked for its own delay": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(75, 5, contract.Message{RetryAfter: "5m"}), now: at(5)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 5 * time.Minute, Attempts: 1, Next: "12:05:05"},
		},
		"a delay that only exit code 75 may ask for": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{RetryAfter: "5m"}), now: at(5)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 10 * time.Second, Attempts: 1, Next: "12:00:15"},
		},
		"no attempt is left": {
			observed{job: makeJob().Retries(1, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).Attempt(1, 2, at(15)).Obj(), child: makeChild(2, 1), seen: exited(1, 20, contract.Message{})},
			outline{State: "Failed", Reason: "RetriesExhausted", Attempts: 2},
		},
		"retry.limit 0: one attempt": {
			observed{job: makeJob().Retries(0, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 20, contract.Message{})},
			outline{State: "Failed", Reason: "RetriesExhausted", Attempts: 1},
		},
		"an unknown handler is not tried again": {
			observed{job: makeJob().Retries(9, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(64, 5, contract.Message{Error: "no handler"})},
			outline{State: "Failed", Reason: "InvalidArguments", Attempts: 1},
		},
		"a permanent failure is not tried again": {
			observed{job: makeJob().Retries(9, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(65, 5, contract.Message{Error: "no table"})},
			outline{State: "Failed", Reason: "PermanentFailure", Attempts: 1},
		},
		"a Job that somebody deleted is a lost attempt": {
			observed{job: makeJob().Retries(1, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), now: at(30)},
			outline{State: "Scheduled", Reason: "RetryScheduled", After: 10 * time.Second, Attempts: 1, Next: "12:00:40"},
		},
		"finished stays finished": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Failed(at(5)).Finished("Failed", at(5)).Obj(), now: at(1000)},
			outline{State: "Failed", Attempts: 1},
		},
		"cancelling what has succeeded changes nothing": {
			observed{job: makeJob().Finished("Succeeded", at(5)).Cancelled().Obj(), now: at(1000)},
			outline{State: "Succeeded"},
		},
		"requeued: a new run with attempts of its own": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Failed(at(5)).Finished("Failed", at(5)).RequeueAt(at(10)).Obj(), now: at(10)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-2", After: podRecheck, Attempts: 1},
		},
		"requeueAt in the future waits": {
			observed{job: makeJob().Finished("Succeeded", at(5)).RequeueAt(at(100)).Obj(), now: at(10)},
			outline{State: "Succeeded", After: 90 * time.Second},
		},
		"requeueAt before the end is ignored": {
			observed{job: makeJob().Finished("Succeeded", at(5)).RequeueAt(at(4)).Obj(), now: at(10)},
			outline{State: "Succeeded"},
		},
		"requeueAt within the second of the end is ignored": {
			observed{job: makeJob().Finished("Succeeded", at(5)).RequeueAt(at(5).Add(84 * time.Millisecond)).Obj(), now: at(10)},
			outline{State: "Succeeded"},
		},
		"requeued, but cancelled": {
			observed{job: makeJob().Finished("Deleted", at(5)).RequeueAt(at(7)).Cancelled().Obj(), now: at(10)},
			outline{State: "Deleted"},
		},
		"the TTL is not over": {
			observed{job: makeJob().Finished("Succeeded", at(5)).TTL(time.Minute).Obj(), now: at(10)},
			outline{State: "Succeeded", After: 55 * time.Second},
		},
		"the TTL is over": {
			observed{job: makeJob().Finished("Succeeded", at(5)).TTL(time.Minute).Obj(), now: at(65)},
			outline{State: "Succeeded", Remove: true},
		},
		"a final state without a time, as a hostile writer might leave it": {
			observed{job: &v1alpha1.WorkspaceJob{Status: v1alpha1.WorkspaceJobStatus{State: "Failed"}}},
			outline{State: "Failed"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			if o.now.IsZero() {
				o.now = at(0)
			}
			o.limits = Limits{Pending: 10 * time.Minute, Parent: time.Hour}
			if o.workspace == nil && c.want.Reason != "NotInWorkspace" {
				o.workspace = readyWorkspace()
			}
			before := o.job.DeepCopy()
			d := decided(o)
			if diff := cmp.Diff(c.want, outlineOf(d)); diff != "" {
				t.Errorf("decide (-want +got):\n%s\nmessage: %s", diff, d.status.Message)
			}
			if diff := cmp.Diff(before, o.job); diff != "" {
				t.Errorf("decide changed what it was given:\n%s", diff)
			}
		})
	}
}

func TestDecideIsStable(t *testing.T) {
	t.Parallel()
	// If nothing has changed, the same is decided again, word for word: no write follows
	// a write.
	for name, o := range map[string]observed{
		"scheduled":  {job: makeJob().Delay(time.Hour).Obj()},
		"processing": {job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{StartedAt: when(2)}},
		"pending":    {job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1)},
		"succeeded":  {job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: succeeded(5, `{"rows":3}`)},
		"failed":     {job: makeJob().Retries(0, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})},
		"cancelled":  {job: makeJob().Cancelled().Obj()},
		"retry":      {job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})},
		"refused":    {job: makeJob().Obj(), foreign: "it is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.now, o.limits.Pending, o.workspace = at(6), time.Hour, readyWorkspace()
			first := decided(o)
			o.job.Status = first.status
			if first.status.UnderWay() == nil {
				o.child = nil
			}
			o.now = at(8)
			second := decided(o)
			if diff := cmp.Diff(first.status, second.status); diff != "" {
				t.Errorf("the second decision differs (-first +second):\n%s", diff)
			}
		})
	}
}

func TestConditionsFollowKstatus(t *testing.T) {
	t.Parallel()
	conditions := func(o observed) map[string]metav1.ConditionStatus {
		o.now, o.limits.Pending, o.workspace = at(6), time.Hour, readyWorkspace()
		got := map[string]metav1.ConditionStatus{}
		d := decided(o)
		for _, c := range d.status.Conditions {
			got[c.Type] = c.Status
			if c.ObservedGeneration != o.job.Generation {
				t.Errorf("%s: observedGeneration %d", c.Type, c.ObservedGeneration)
			}
		}
		if meta.FindStatusCondition(d.status.Conditions, "Ready").Message == "" {
			t.Error("Ready has no message")
		}
		return got
	}
	cases := map[string]struct {
		o    observed
		want map[string]metav1.ConditionStatus
	}{
		"under way": {observed{job: makeJob().Obj()}, map[string]metav1.ConditionStatus{"Ready": "False", "Reconciling": "True", "Succeeded": "Unknown"}},
		"succeeded": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: succeeded(5, `1`)},
			map[string]metav1.ConditionStatus{"Ready": "True", "Succeeded": "True"},
		},
		"failed": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(65, 5, contract.Message{})},
			map[string]metav1.ConditionStatus{"Ready": "False", "Stalled": "True", "Succeeded": "False"},
		},
		"cancelled": {observed{job: makeJob().Cancelled().Obj()}, map[string]metav1.ConditionStatus{"Ready": "True", "Succeeded": "False"}},
		"stalled":   {observed{job: makeJob().Obj(), foreign: "x"}, map[string]metav1.ConditionStatus{"Ready": "False", "Stalled": "True", "Succeeded": "Unknown"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, conditions(c.o)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}
