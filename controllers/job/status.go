package job

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

// enter a state in which the operator is at work or waits for its time.
func enter(status *v1alpha1.WorkspaceJobStatus, state v1alpha1.JobState, reason, message string, now time.Time) {
	status.State = state
	setConditions(status, verdict{ready: metav1.ConditionFalse, succeeded: metav1.ConditionUnknown, reconciling: true}, reason, message, now)
}

// stall: nothing goes on until somebody mends what the message says.
func stall(status *v1alpha1.WorkspaceJobStatus, state v1alpha1.JobState, reason, message string, now time.Time) {
	status.State = state
	setConditions(status, verdict{ready: metav1.ConditionFalse, succeeded: metav1.ConditionUnknown, stalled: true}, reason, message, now)
}

// finish the run in one of the final states. A final failure is Stalled: to
// kstatus Ready=False alone would mean "in progress".
func finish(d *decision, state v1alpha1.JobState, reason, message string, at time.Time) {
	d.status.State = state
	d.status.FinishedAt = new(metav1.NewTime(at))
	d.status.NextAttemptAt = nil
	v := verdict{ready: metav1.ConditionTrue, succeeded: metav1.ConditionFalse}
	switch state {
	case v1alpha1.StateSucceeded:
		v.succeeded = metav1.ConditionTrue
	case v1alpha1.StateFailed:
		v.ready, v.stalled = metav1.ConditionFalse, true
	}
	setConditions(&d.status, v, reason, message, at)
}

type verdict struct {
	ready, succeeded     metav1.ConditionStatus
	reconciling, stalled bool
}

func setConditions(status *v1alpha1.WorkspaceJobStatus, v verdict, reason, message string, at time.Time) {
	status.Message = conditions.Clip(message, conditions.MaxMessage)
	set := func(kind string, value metav1.ConditionStatus) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: status.Message,
			ObservedGeneration: status.ObservedGeneration, LastTransitionTime: metav1.NewTime(at),
		})
	}
	abnormal := func(kind string, present bool) {
		if present {
			set(kind, metav1.ConditionTrue)
			return
		}
		meta.RemoveStatusCondition(&status.Conditions, kind)
	}
	set(v1alpha1.ConditionReady, v.ready)
	set(v1alpha1.ConditionSucceeded, v.succeeded)
	abnormal(v1alpha1.ConditionReconciling, v.reconciling)
	abnormal(v1alpha1.ConditionStalled, v.stalled)
}

// firstDue is when a run's first attempt is due: a requeued run when it was asked
// for, a scheduled one as its schedule says, a continuation when its last parent has
// finished. A time that has passed
// when the job was created is as good as that of its creation.
func firstDue(o observed, status *v1alpha1.WorkspaceJobStatus) time.Time {
	if status.Run > 1 {
		if again := o.job.Spec.RequeueAt; again != nil && again.Time.Before(o.now) {
			return again.Time
		}
		return o.now.Truncate(time.Second)
	}
	due := o.job.CreationTimestamp.Time
	if at, ok := o.job.ScheduledAt(); ok && at.Before(due) {
		due = at
	}
	for _, p := range status.Parents {
		if p.FinishedAt.After(due) {
			due = p.FinishedAt.Time
		}
	}
	if delay := o.job.Spec.Delay; delay != nil {
		due = due.Add(delay.Duration)
	}
	if at := o.job.Spec.RunAt; at != nil && at.After(due) {
		due = at.Time
	}
	return due
}
