package main

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	healthy     = "Healthy"
	progressing = "Progressing"
	suspended   = "Suspended"
	degraded    = "Degraded"

	current    = status.CurrentStatus
	inProgress = status.InProgressStatus
	failed     = status.FailedStatus
)

// same maps what kstatus says to Argo CD's words.
var same = map[status.Status]string{current: healthy, inProgress: progressing, failed: degraded}

const said = "what the operator says"

// expected is what both report about an object that the operator has seen.
type expected struct {
	object  any
	health  string
	message string
	kstatus status.Status
	// why Argo CD says something other than kstatus.
	why string
}

// condition returns a condition with its own message, so that a test sees which one is shown.
func condition(kind string, value metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: 3, LastTransitionTime: metav1.Unix(1_800_000_000, 0),
	}
}

func meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: "nightly", Namespace: "workspace-acme", UID: "7b0c", Generation: 3}
}

func check(t *testing.T, table map[string]expected) {
	t.Helper()
	vm := engine(t)
	for name, want := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := live(t, want.object)
			got, message := health(t, vm, u)
			if got != want.health || message != want.message {
				t.Errorf("Argo CD: %s (%s), want %s (%s)", got, message, want.health, want.message)
			}
			if got := kstatus(t, u); got != want.kstatus {
				t.Errorf("kstatus: %s, want %s", got, want.kstatus)
			}
			if differs := same[want.kstatus] != want.health; differs != (want.why != "") {
				t.Errorf("%s and %s differ: %t, but the reason given is %q", want.kstatus, want.health, differs, want.why)
			}
			u.SetGeneration(4)
			if got, message := health(t, vm, u); got != progressing || message == said {
				t.Errorf("after a change that the operator has not seen: %s (%s)", got, message)
			}
			if got := kstatus(t, u); got != inProgress {
				t.Errorf("kstatus after such a change: %s", got)
			}
		})
	}
}

// job returns a job in a state, with the conditions that the operator sets in that state.
func job(state v1alpha1.JobState, reason string, stalled bool) *v1alpha1.WorkspaceJob {
	ready, succeeded := metav1.ConditionFalse, metav1.ConditionUnknown
	abnormal := v1alpha1.ConditionReconciling
	if stalled {
		abnormal = v1alpha1.ConditionStalled
	}
	switch state {
	case v1alpha1.StateSucceeded:
		ready, succeeded, abnormal = metav1.ConditionTrue, metav1.ConditionTrue, ""
	case v1alpha1.StateDeleted:
		ready, succeeded, abnormal = metav1.ConditionTrue, metav1.ConditionFalse, ""
	case v1alpha1.StateFailed:
		succeeded, abnormal = metav1.ConditionFalse, v1alpha1.ConditionStalled
	}
	j := &v1alpha1.WorkspaceJob{ObjectMeta: meta()}
	j.Spec.Handler = "data-cleanup"
	j.Status.ObservedGeneration, j.Status.State, j.Status.Message = 3, state, said
	j.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionReady, ready, reason, said),
		condition(v1alpha1.ConditionSucceeded, succeeded, reason, said),
	}
	if abnormal != "" {
		j.Status.Conditions = append(j.Status.Conditions, condition(abnormal, metav1.ConditionTrue, reason, said))
	}
	return j
}

func TestJobHealth(t *testing.T) {
	t.Parallel()
	const (
		days   = "it may wait for days, and does nothing meanwhile"
		chain  = "its parents may wait for days; while they are at work, they are Progressing"
		paused = "somebody paused the workspace"
	)
	table := map[string]expected{}
	states := map[v1alpha1.JobState]bool{}
	for _, row := range []struct {
		state   v1alpha1.JobState
		reason  string
		stalled bool
		health  string
		kstatus status.Status
		why     string
	}{
		{"Scheduled", v1alpha1.ReasonScheduled, false, suspended, inProgress, days},
		{"Scheduled", v1alpha1.ReasonRetryScheduled, false, progressing, inProgress, ""},
		{"Awaiting", v1alpha1.ReasonAwaitingParents, false, suspended, inProgress, chain},
		{"Awaiting", v1alpha1.ReasonParentMissing, false, progressing, inProgress, ""},
		{"Awaiting", v1alpha1.ReasonParentCycle, true, degraded, failed, ""},
		{"Enqueued", v1alpha1.ReasonEnqueued, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonQueued, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonQueueSuspended, false, suspended, inProgress, paused},
		{"Enqueued", v1alpha1.ReasonConcurrencyKeyBusy, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonEarlierRunActive, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonPodPending, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonWorkspaceNotReady, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonCancelling, false, progressing, inProgress, ""},
		{"Enqueued", v1alpha1.ReasonNotInWorkspace, true, degraded, failed, ""},
		{"Enqueued", v1alpha1.ReasonNameTaken, true, degraded, failed, ""},
		{"Enqueued", v1alpha1.ReasonJobRefused, true, degraded, failed, ""},
		{"Enqueued", v1alpha1.ReasonRecurringJobNotFound, true, degraded, failed, ""},
		{"Processing", v1alpha1.ReasonProcessing, false, progressing, inProgress, ""},
		{"Processing", v1alpha1.ReasonCancelling, false, progressing, inProgress, ""},
		{"Succeeded", v1alpha1.ReasonSucceeded, false, healthy, current, ""},
		{"Failed", v1alpha1.ReasonRetriesExhausted, false, degraded, failed, ""},
		{"Failed", v1alpha1.ReasonInvalidArguments, false, degraded, failed, ""},
		{"Failed", v1alpha1.ReasonPermanentFailure, false, degraded, failed, ""},
		{"Deleted", v1alpha1.ReasonCancelled, false, healthy, current, ""},
		{"Deleted", v1alpha1.ReasonSkipped, false, healthy, current, ""},
		{"Deleted", v1alpha1.ReasonRunQueueFull, false, healthy, current, ""},
		{"Deleted", v1alpha1.ReasonReplaced, false, healthy, current, ""},
		{"Deleted", v1alpha1.ReasonParentEnded, false, healthy, current, ""},
		{"Deleted", v1alpha1.ReasonParentMissing, false, healthy, current, ""},
	} {
		message := said
		if row.state == v1alpha1.StateDeleted {
			message = "Deleted: " + said
		}
		table[string(row.state)+" "+row.reason] = expected{job(row.state, row.reason, row.stalled), row.health, message, row.kstatus, row.why}
		states[row.state] = true
	}
	for _, state := range v1alpha1.JobStates() {
		if !states[state] {
			t.Errorf("no row has the state %s", state)
		}
	}
	check(t, table)
}

func recurring(suspend bool, conditions ...metav1.Condition) *v1alpha1.WorkspaceRecurringJob {
	r := &v1alpha1.WorkspaceRecurringJob{ObjectMeta: meta()}
	r.Spec.Schedule, r.Spec.Suspend, r.Spec.Template.Handler = "@daily", suspend, "data-cleanup"
	r.Status.ObservedGeneration, r.Status.Conditions = 3, conditions
	return r
}

// failing returns r after this many failed runs.
func failing(r *v1alpha1.WorkspaceRecurringJob, runs int32) *v1alpha1.WorkspaceRecurringJob {
	r.Status.ConsecutiveFailures = runs
	return r
}

func TestRecurringJobHealth(t *testing.T) {
	t.Parallel()
	const (
		paused = "it is paused on purpose"
		fails  = "kstatus covers only the schedule; the application should show that its runs fail"
		ran    = "failed runs since the last success: 2; how the last run ended"
	)
	lastRun := func(value metav1.ConditionStatus, reason string) metav1.Condition {
		return condition(v1alpha1.ConditionLastRunSucceeded, value, reason, "how the last run ended")
	}
	active := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonScheduleActive, said)
	pausedReady := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended, said)
	noRun, succeeded := lastRun(metav1.ConditionUnknown, v1alpha1.ReasonNoRunYet), lastRun(metav1.ConditionTrue, v1alpha1.ReasonRunSucceeded)
	runFailed, runDeleted := lastRun(metav1.ConditionFalse, v1alpha1.ReasonRunFailed), lastRun(metav1.ConditionFalse, v1alpha1.ReasonRunDeleted)
	table := map[string]expected{
		"no run yet":               {recurring(false, active, noRun), healthy, said, current, ""},
		"last run succeeded":       {recurring(false, active, succeeded), healthy, said, current, ""},
		"last run failed":          {failing(recurring(false, active, runFailed), 2), degraded, ran, current, fails},
		"last run cancelled":       {recurring(false, active, runDeleted), healthy, said, current, ""},
		"cancelled after failures": {failing(recurring(false, active, runDeleted), 2), degraded, ran, current, fails},
		"suspended":                {recurring(true, pausedReady, succeeded), suspended, said, current, paused},
		"suspended after failures": {failing(recurring(true, pausedReady, runFailed), 2), suspended, said, current, paused},
		"not active yet": {recurring(false, noRun,
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkspaceNotReady, said),
		), progressing, said, inProgress, ""},
		"being set up": {recurring(false, noRun,
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWorkspaceNotReady, said),
			condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonWorkspaceNotReady, said),
		), progressing, said, inProgress, ""},
	}
	for _, reason := range []string{
		v1alpha1.ReasonInvalidSchedule, v1alpha1.ReasonInvalidTimeZone, v1alpha1.ReasonCronJobRefused,
		v1alpha1.ReasonNameTaken, v1alpha1.ReasonNotInWorkspace,
	} {
		stalled := []metav1.Condition{
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, said), succeeded,
			condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, said),
		}
		table[reason] = expected{recurring(false, stalled...), degraded, said, failed, ""}
		table[reason+" suspended"] = expected{recurring(true, stalled...), degraded, said, failed, ""}
	}
	check(t, table)
}

func workspace(suspend bool, conditions ...metav1.Condition) *v1alpha1.Workspace {
	w := &v1alpha1.Workspace{ObjectMeta: meta()}
	w.Namespace = ""
	w.Spec.Suspend = suspend
	w.Spec.Database.Egress = []v1alpha1.EgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}}
	w.Status.ObservedGeneration, w.Status.Conditions = 3, conditions
	return w
}

func TestWorkspaceHealth(t *testing.T) {
	t.Parallel()
	const paused = "its queue is paused on purpose"
	ready := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, said)
	table := map[string]expected{
		"ready": {workspace(false, ready), healthy, said, current, ""},
		"ready, and the API server fails": {workspace(false, ready,
			condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonReconcileError, "the error"),
		), progressing, "the error", inProgress, ""},
		"not ready": {workspace(false,
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonMigrating, said),
		), progressing, said, inProgress, ""},
		"suspended": {workspace(true, ready), suspended, "the queue is paused: no attempt starts", current, paused},
	}
	for _, reason := range []string{
		v1alpha1.ReasonNamespaceTerminating, v1alpha1.ReasonQuotaPending, v1alpha1.ReasonMigrating,
		v1alpha1.ReasonMigrationPending, v1alpha1.ReasonMigrationFailed, v1alpha1.ReasonReconcileError,
	} {
		table[reason] = expected{workspace(false,
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, said),
			condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, said),
		), progressing, said, inProgress, ""}
	}
	for _, reason := range []string{
		v1alpha1.ReasonNamespaceTaken, v1alpha1.ReasonNameTaken, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonDatabaseRefused,
	} {
		table[reason] = expected{workspace(true,
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, said),
			condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, said),
		), degraded, said, failed, ""}
	}
	check(t, table)
}

// TestHealthBeforeTheOperator covers objects with no status but the schema's default.
func TestHealthBeforeTheOperator(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	j, r, w := job("", "", false), recurring(true), workspace(true)
	j.Status = v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1}
	r.Status.ObservedGeneration, w.Status.ObservedGeneration = -1, -1
	for _, object := range []any{j, r, w} {
		u := live(t, object)
		if got, message := health(t, vm, u); got != progressing || message == "" {
			t.Errorf("%s: %s (%s)", u.GetKind(), got, message)
		}
		if got := kstatus(t, u); got != inProgress {
			t.Errorf("%s: kstatus says %s", u.GetKind(), got)
		}
		delete(u.Object, "status")
		u.SetGeneration(0)
		if got, _ := health(t, vm, u); got != progressing {
			t.Errorf("%s without a status: %s", u.GetKind(), got)
		}
	}
}
