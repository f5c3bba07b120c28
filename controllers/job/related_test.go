package job

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

func ended1(name string, on v1alpha1.ParentOutcome, state v1alpha1.JobState, seconds int) parent {
	return parent{Parent: v1alpha1.Parent{Name: name, When: on}, found: true, state: state, finishedAt: when(seconds)}
}

func unfinished(name string) parent {
	return parent{Parent: v1alpha1.Parent{Name: name}, found: true, state: v1alpha1.StateProcessing}
}

func absent(name string) parent { return parent{Parent: v1alpha1.Parent{Name: name}} }

func TestDecideAboutRelatives(t *testing.T) {
	t.Parallel()
	daily := &v1alpha1.WorkspaceRecurringJob{Spec: v1alpha1.WorkspaceRecurringJobSpec{
		Template: v1alpha1.JobTemplate{Handler: "report", Retry: &v1alpha1.RetryPolicy{Limit: new(int32(0))}},
	}}
	resolved := makeJob().Trigger("daily").Obj()
	resolved.Status.Template = daily.Spec.Template.DeepCopy()
	exhausted := makeJob().Trigger("daily").Attempt(1, 1, at(0)).Obj()
	exhausted.Status.Template = daily.Spec.Template.DeepCopy()
	seen := makeJob().AfterOutcome("", "a").AfterOutcome("", "b").Obj()
	seen.Status.Parents = []v1alpha1.ParentStatus{{Name: "a", State: "Succeeded", FinishedAt: *when(3)}}
	begun := makeJob().AfterOutcome("", "a").Obj()
	begun.Status.EnqueuedAt = when(3)

	cases := map[string]struct {
		o    observed
		want outline
	}{
		"a parent that has not finished is waited for": {
			observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{unfinished("a")}},
			outline{State: "Awaiting", Reason: "AwaitingParents"},
		},
		"a parent that has succeeded": {
			observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{ended1("a", "", "Succeeded", 3)}, now: at(4)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"all parents are waited for": {
			observed{job: makeJob().AfterOutcome("", "a").AfterOutcome("", "b").Obj(), parents: []parent{ended1("a", "", "Succeeded", 3), unfinished("b")}},
			outline{State: "Awaiting", Reason: "AwaitingParents"},
		},
		"a parent that failed ends the chain": {
			observed{job: makeJob().AfterOutcome("", "a").AfterOutcome("", "b").Obj(), parents: []parent{unfinished("b"), ended1("a", "", "Failed", 3)}},
			outline{State: "Deleted", Reason: "ParentEnded"},
		},
		"on Failed runs after a failure": {
			observed{job: makeJob().AfterOutcome("Failed", "a").Obj(), parents: []parent{ended1("a", "Failed", "Failed", 3)}, now: at(4)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"on Failed does not run after a success": {
			observed{job: makeJob().AfterOutcome("Failed", "a").Obj(), parents: []parent{ended1("a", "Failed", "Succeeded", 3)}},
			outline{State: "Deleted", Reason: "ParentEnded"},
		},
		"on Deleted": {
			observed{job: makeJob().AfterOutcome("Deleted", "a").Obj(), parents: []parent{ended1("a", "Deleted", "Deleted", 3)}, now: at(4)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"on Finished accepts any end": {
			observed{job: makeJob().AfterOutcome("Finished", "a").Obj(), parents: []parent{ended1("a", "Finished", "Deleted", 3)}, now: at(4)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"what a parent does after its end was seen no longer matters": {
			observed{job: seen, parents: []parent{unfinished("a"), ended1("b", "", "Succeeded", 5)}, now: at(6)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"a continuation that has begun waits for no parent": {
			observed{job: begun, now: at(6)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"a parent that is missing may still come": {
			observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{absent("a")}, now: at(600)},
			outline{State: "Awaiting", Reason: "ParentMissing", After: 50 * time.Minute},
		},
		"a parent that did not come within the limit": {
			observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{absent("a")}, now: at(3600)},
			outline{State: "Deleted", Reason: "ParentMissing"},
		},
		"a cycle": {
			observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{unfinished("a")}, cycle: []string{"nightly", "a", "nightly"}},
			outline{State: "Awaiting", Reason: "ParentCycle"},
		},
		"a delay counts from the last parent's end": {
			observed{job: makeJob().AfterOutcome("", "a").Delay(time.Minute).Obj(), parents: []parent{ended1("a", "", "Succeeded", 30)}, now: at(40)},
			outline{State: "Scheduled", Reason: "Scheduled", After: 50 * time.Second, Next: "12:01:30"},
		},
		"a continuation that is cancelled": {
			observed{job: makeJob().AfterOutcome("", "a").Cancelled().Obj(), parents: []parent{unfinished("a")}},
			outline{State: "Deleted", Reason: "Cancelled"},
		},
		"a requeued continuation runs whatever its parents do": {
			observed{job: makeJob().AfterOutcome("", "a").Finished("Deleted", at(5)).RequeueAt(at(7)).Obj(), parents: []parent{ended1("a", "", "Failed", 3)}, now: at(10)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"a recurring job that does not exist yet": {
			observed{job: makeJob().Trigger("daily").Obj()},
			outline{State: "Enqueued", Reason: "RecurringJobNotFound"},
		},
		"a triggered run writes down what it runs before it starts": {
			observed{job: makeJob().Trigger("daily").Obj(), recurring: daily},
			outline{State: "Enqueued", Reason: "Enqueued"},
		},
		"a triggered run starts": {
			observed{job: resolved, recurring: daily},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-1", After: podRecheck, Attempts: 1},
		},
		"a triggered run has its template's retries": {
			observed{job: exhausted, child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})},
			outline{State: "Failed", Reason: "RetriesExhausted", Attempts: 1},
		},
		"replaced before it started": {
			observed{job: makeJob().Obj(), replacedBy: "newer"},
			outline{State: "Deleted", Reason: "Replaced"},
		},
		"replaced between two attempts": {
			observed{job: makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(15)).Obj(), replacedBy: "newer", now: at(10)},
			outline{State: "Deleted", Reason: "Replaced", Attempts: 1},
		},
		"replaced while it runs: its Job is stopped first": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: runnerjob.Observation{StartedAt: when(2)}, replacedBy: "newer"},
			outline{State: "Processing", Reason: "Cancelling", Stop: "nightly-1", Attempts: 1},
		},
		"replaced, and its runner exited with 143": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Outcome("Replaced", "").Obj(), child: makeChild(1, 1), seen: exited(143, 9, contract.Message{}), replacedBy: "newer"},
			outline{State: "Deleted", Reason: "Replaced", Attempts: 1},
		},
		"replaced too late: it had committed": {
			observed{job: makeJob().Attempt(1, 1, at(0)).Outcome("Replaced", "").Obj(), child: makeChild(1, 1), seen: succeeded(5, "1"), replacedBy: "newer"},
			outline{State: "Succeeded", Reason: "Succeeded", Attempts: 1},
		},
		"a scheduled run's first Job is its schedule's": {
			observed{job: makeJob().With(scheduled(-5)).Obj(), tick: suspendedChild(1)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly", After: podRecheck, Attempts: 1},
		},
		"a scheduled run's second Job is its own": {
			observed{job: makeJob().With(scheduled(-5)).Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(15)).Obj(), now: at(15)},
			outline{State: "Enqueued", Reason: "Enqueued", Start: "nightly-2", After: podRecheck, Attempts: 2},
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
			o.workspace = readyWorkspace()
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

func TestWhenARunBecameDue(t *testing.T) {
	t.Parallel()
	parents := func(seconds ...int) *v1alpha1.WorkspaceJobStatus {
		status := &v1alpha1.WorkspaceJobStatus{Run: 1}
		for _, s := range seconds {
			status.Parents = append(status.Parents, v1alpha1.ParentStatus{FinishedAt: *when(s)})
		}
		return status
	}
	for name, c := range map[string]struct {
		job    *v1alpha1.WorkspaceJob
		status *v1alpha1.WorkspaceJobStatus
		want   time.Time
	}{
		"at its creation":            {makeJob().Obj(), parents(), at(0)},
		"after its delay":            {makeJob().Delay(time.Minute).Obj(), parents(), at(60)},
		"at runAt":                   {makeJob().RunAt(at(90)).Obj(), parents(), at(90)},
		"when its last parent ended": {makeJob().Obj(), parents(20, 50, 30), at(50)},
		"not before runAt":           {makeJob().RunAt(at(90)).Obj(), parents(50), at(90)},
		"when its schedule said":     {makeJob().With(scheduled(-5)).Obj(), parents(), at(-5)},
		"not after its own creation": {makeJob().With(scheduled(1000)).Obj(), parents(), at(0)},
		"when it was requeued":       {makeJob().RunAt(at(90)).RequeueAt(at(500)).Obj(), &v1alpha1.WorkspaceJobStatus{Run: 2}, at(500)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := firstDue(observed{job: c.job, now: at(1000)}, c.status); !got.Equal(c.want) {
				t.Errorf("due at %s, want %s", got, c.want)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	day := &v1alpha1.Duration{Duration: 24 * time.Hour}
	keeps := func(succeeded, failed *v1alpha1.Duration) *v1alpha1.Workspace {
		ws := readyWorkspace()
		ws.Spec.Retention = &v1alpha1.Retention{Succeeded: succeeded, Failed: failed}
		return ws
	}
	for name, c := range map[string]struct {
		o    observed
		want outline
	}{
		"without retention it stays":            {observed{job: makeJob().Finished("Succeeded", at(0)).Obj(), workspace: readyWorkspace()}, outline{State: "Succeeded"}},
		"the workspace's, not over":             {observed{job: makeJob().Finished("Succeeded", at(0)).Obj(), workspace: keeps(day, nil), now: at(3600)}, outline{State: "Succeeded", After: 23 * time.Hour}},
		"the workspace's, over":                 {observed{job: makeJob().Finished("Succeeded", at(0)).Obj(), workspace: keeps(day, nil), now: at(86400)}, outline{State: "Succeeded", Remove: true}},
		"Deleted is kept as Succeeded is":       {observed{job: makeJob().Finished("Deleted", at(0)).Obj(), workspace: keeps(day, nil), now: at(86400)}, outline{State: "Deleted", Remove: true}},
		"Failed has a time of its own":          {observed{job: makeJob().Finished("Failed", at(0)).Obj(), workspace: keeps(day, nil), now: at(86400)}, outline{State: "Failed"}},
		"Failed, over":                          {observed{job: makeJob().Finished("Failed", at(0)).Obj(), workspace: keeps(nil, day), now: at(86400)}, outline{State: "Failed", Remove: true}},
		"its own TTL wins":                      {observed{job: makeJob().Finished("Succeeded", at(0)).TTL(48 * time.Hour).Obj(), workspace: keeps(day, nil), now: at(86400)}, outline{State: "Succeeded", After: 24 * time.Hour}},
		"one whose end is still to be seen":     {observed{job: makeJob().Finished("Succeeded", at(0)).TTL(0).Obj(), workspace: readyWorkspace(), awaited: true}, outline{State: "Succeeded", After: awaitedRecheck}},
		"one that will be requeued is not over": {observed{job: makeJob().Finished("Succeeded", at(0)).TTL(0).RequeueAt(at(60)).Obj(), workspace: readyWorkspace()}, outline{State: "Succeeded", After: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			if o.now.IsZero() {
				o.now = at(0)
			}
			if diff := cmp.Diff(c.want, outlineOf(decide(o))); diff != "" {
				t.Errorf("decide (-want +got):\n%s", diff)
			}
		})
	}
}

// finishedChild is a Job that has ended.
func finishedChild(number int32, seconds int) batchv1.Job {
	child := makeChild(number, 1)
	child.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: *when(seconds)}}
	return *child
}

func TestJobsAndLogsGoAfterTheirTime(t *testing.T) {
	t.Parallel()
	ws := readyWorkspace()
	ws.Spec.Retention = &v1alpha1.Retention{Pods: &v1alpha1.Duration{Duration: time.Hour}}
	reported := makeJob().Retries(3, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(7200)).Obj()
	unreported := makeJob().Attempt(1, 1, at(0)).Obj()
	other := reported.DeepCopy()
	other.Status.Attempts[0].JobUID = "another"
	for name, c := range map[string]struct {
		o     observed
		reaps int
	}{
		"its time is over":                  {observed{job: reported, ended: []batchv1.Job{finishedChild(1, 5)}, now: at(3605)}, 1},
		"its time is not over":              {observed{job: reported, ended: []batchv1.Job{finishedChild(1, 5)}, now: at(3604)}, 0},
		"its end is not in the status yet":  {observed{job: unreported, child: makeChild(1, 1), ended: []batchv1.Job{finishedChild(1, 5)}, now: at(9999)}, 0},
		"the status reports another one":    {observed{job: other, ended: []batchv1.Job{finishedChild(1, 5)}, now: at(9999)}, 0},
		"it never had a pod":                {observed{job: reported, ended: []batchv1.Job{*suspendedChild(1)}, now: at(3605)}, 1},
		"a schedule's Job that never ran":   {observed{job: makeJob().With(scheduled(0)).Finished("Deleted", at(5)).Obj(), tick: suspendedChild(1), now: at(6)}, 1},
		"a schedule's Job that waits stays": {observed{job: makeJob().With(scheduled(0)).Obj(), tick: suspendedChild(1), now: at(6)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			o.workspace = ws
			if d := decide(o); len(d.reap) != c.reaps {
				t.Errorf("reaps %d Jobs, want %d", len(d.reap), c.reaps)
			}
		})
	}
}

func TestAWaitingJobIsWrittenSparingly(t *testing.T) {
	t.Parallel()
	o := observed{job: makeJob().Obj(), workspace: readyWorkspace(), now: at(1), limits: Limits{Pending: time.Minute}, queue: waiting}
	answered := func(answer admission.Answer) v1alpha1.WorkspaceJobStatus {
		o.slot = &answer
		d := decide(o)
		if d.start != nil || d.acts(o) {
			t.Error("it has no slot, but acts")
		}
		return d.status
	}
	o.job.Status = answered(admission.Answer{Reason: v1alpha1.ReasonQueued, Before: 7})
	if want := "queue workspace_acme processes at most 20 jobs at once; 7 jobs are ahead of it"; o.job.Status.Message != want {
		t.Errorf("the message is %q, want %q", o.job.Status.Message, want)
	}
	for what, answer := range map[string]admission.Answer{
		"its position hardly changed": {Reason: v1alpha1.ReasonQueued, Before: 6, Unchanged: true},
		"the queue does not know yet": {Unchanged: true},
	} {
		if diff := cmp.Diff(o.job.Status, answered(answer)); diff != "" {
			t.Errorf("%s, but the status changes (-was +is):\n%s", what, diff)
		}
	}
	o.job.Generation++
	if got := answered(admission.Answer{Reason: v1alpha1.ReasonQueued, Before: 6, Unchanged: true}); got.ObservedGeneration != o.job.Generation {
		t.Error("the status is not about the new generation")
	}
}

// TestARetryKeepsItsReason has a workspace that was gone while a job waited for its retry.
func TestARetryKeepsItsReason(t *testing.T) {
	t.Parallel()
	o := observed{job: makeJob().Retries(3, 100*time.Second).Attempt(1, 1, at(0)).Failed(at(5)).NextAttempt(at(105)).Obj(), now: at(10), limits: Limits{Pending: time.Minute}}
	for _, ws := range []*v1alpha1.Workspace{nil, readyWorkspace()} {
		o.workspace = ws
		o.job.Status = decide(o).status
	}
	if want := "attempt 1 failed (exit code 1): boom; retry 1 of 3 is due at 2026-03-01T12:01:45Z"; o.job.Status.Message != want {
		t.Errorf("the message is %q, want %q", o.job.Status.Message, want)
	}
}

// TestAFinishedJobRests checks that a finished job is read from the API server only if there
// is something to do about it: a restart of the operator reconciles all of them.
func TestAFinishedJobRests(t *testing.T) {
	t.Parallel()
	job := makeJob().Cancelled().Obj()
	job.Status = decide(observed{job: job, now: at(5), workspace: readyWorkspace()}).status
	requeued := job.DeepCopy()
	requeued.Spec.Cancelled, requeued.Spec.RequeueAt = false, when(7)
	for name, c := range map[string]struct {
		job  *v1alpha1.WorkspaceJob
		want bool
	}{"finished": {job, true}, "requeued": {requeued, false}} {
		if got := rests(observed{job: c.job, now: at(9), workspace: readyWorkspace()}); got != c.want {
			t.Errorf("%s: it rests: %t, want %t", name, got, c.want)
		}
	}
}

// TestTheRunInTheWayIsNamed has another run in the way, which nothing else shows: the reason
// and the position stay the same.
func TestTheRunInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	o := observed{job: makeJob().Obj(), workspace: readyWorkspace(), now: at(1), limits: Limits{Pending: time.Minute}, queue: waiting}
	for _, run := range []string{"first", "second"} {
		o.slot = &admission.Answer{Reason: v1alpha1.ReasonEarlierRunActive, By: run, Unchanged: true}
		o.job.Status = decide(o).status
		if want := `waits until run "` + run + `" of the same recurring job has finished`; o.job.Status.Message != want {
			t.Errorf("the message is %q, want %q", o.job.Status.Message, want)
		}
	}
}

// TestAFinishedContinuationNotesNoParent has a continuation that ended because its parent
// failed. A requeue of the parent, which succeeds, must not change why.
func TestAFinishedContinuationNotesNoParent(t *testing.T) {
	t.Parallel()
	o := observed{
		job: makeJob().AfterOutcome("", "a").Finished("Deleted", at(5)).Obj(), now: at(20), workspace: readyWorkspace(),
		parents: []parent{ended1("a", "", "Succeeded", 10)},
	}
	if d := decide(o); len(d.status.Parents) > 0 {
		t.Errorf("it notes %+v", d.status.Parents)
	}
}

// TestTheEndOfAnAttemptIsReportedWhateverTheQueueSays has a retry that is due at once, which
// must not hide that the attempt before it has failed.
func TestTheEndOfAnAttemptIsReportedWhateverTheQueueSays(t *testing.T) {
	t.Parallel()
	job := makeJob().Retries(3, 0).Backoff(3, time.Minute).Attempt(1, 1, at(0))
	for name, answer := range map[string]*admission.Answer{
		"it was not asked":    nil,
		"it can't say":        {Unchanged: true, After: time.Second},
		"the queue is full":   {Reason: v1alpha1.ReasonQueued, Unchanged: true, After: time.Minute},
		"the queue has moved": {Reason: v1alpha1.ReasonQueued, Before: 3},
	} {
		o := observed{
			job: job.Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{Error: "boom"}),
			now: at(9), workspace: readyWorkspace(), limits: Limits{Pending: time.Minute}, queue: waiting, slot: answer,
		}
		if d := decide(o); d.status.UnderWay() != nil || d.status.State != v1alpha1.StateEnqueued {
			t.Errorf("%s: the status is %s with attempts %+v", name, d.status.State, d.status.Attempts)
		}
	}
}

// TestAHalfDoneStopOrStartIsNotReported checks the status after an error: no outcome of an
// attempt whose pods were not stopped, and no attempt whose Job was not created.
func TestAHalfDoneStopOrStartIsNotReported(t *testing.T) {
	t.Parallel()
	processing := runnerjob.Observation{StartedAt: when(2)}
	for name, o := range map[string]observed{
		"it was not stopped": {job: makeJob().Attempt(1, 1, at(0)).Cancelled().Obj(), child: makeChild(1, 1), seen: processing, queue: running},
		"it was not started": {job: makeJob().Obj(), queue: waiting, slot: &admission.Answer{Admitted: true}},
	} {
		o.now, o.limits, o.workspace, o.failed = at(9), Limits{Pending: time.Minute}, readyWorkspace(), errors.New("no")
		d := decide(o)
		if diff := cmp.Diff(o.job.Status, d.status); diff != "" || d.acts(o) {
			t.Errorf("%s, and it acts: %t; the status (-was +is):\n%s", name, d.acts(o), diff)
		}
	}
}

func TestARefusedJobGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	for kind, want := range map[report.RefusalKind]outline{
		report.Forbidden:            {State: "Enqueued", Reason: "PodPending", After: 15 * time.Second},
		report.Invalid:              {State: "Enqueued", Reason: "JobRefused", After: 5 * time.Minute},
		report.NamespaceTerminating: {State: "Enqueued", Reason: "WorkspaceNotReady", After: 15 * time.Second},
	} {
		o := observed{
			job: makeJob().Obj(), workspace: readyWorkspace(), now: at(1), limits: Limits{Pending: time.Minute},
			queue: waiting, slot: &admission.Answer{Admitted: true}, refusal: &report.Refusal{Kind: kind, Message: "no"},
		}
		d := decide(o)
		if diff := cmp.Diff(want, outlineOf(d)); diff != "" || d.queue != outside {
			t.Errorf("queue %s; decide (-want +got):\n%s", d.queue, diff)
		}
	}
}
