package job

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// awaitDue reports whether the next attempt is not due yet. The status then says when it is.
func awaitDue(o observed, d *decision) bool {
	at := firstDue(o, &d.status)
	reason, message := v1alpha1.ReasonScheduled, fmt.Sprintf("due at %s", stamp(at))
	if d.status.RunAttempts > 0 && d.status.NextAttemptAt != nil {
		at, reason = d.status.NextAttemptAt.Time, v1alpha1.ReasonRetryScheduled
		message = retryMessage(o, d, at)
	}
	if !o.now.Before(at) {
		return false
	}
	d.recheck(at.Sub(o.now))
	d.status.NextAttemptAt = new(metav1.NewTime(at))
	enter(&d.status, v1alpha1.StateScheduled, reason, message, o.now)
	return true
}

// firstDue returns when a run's first attempt is due: a requeued run at requeueAt, a
// scheduled one at its schedule's time, a continuation when its last parent has finished,
// any other when it was created. Except for a requeued run, spec.delay is added, and
// spec.runAt counts if it is later.
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

// requeue starts another run of a finished job whose requeueAt has come, and reports whether
// it did.
func requeue(o observed, d *decision) bool {
	if d.status.FinishedAt == nil {
		d.status.FinishedAt = new(metav1.NewTime(o.now))
	}
	again := o.job.RequeuedAfter(d.status.FinishedAt.Time)
	if again.IsZero() || o.now.Before(again) {
		return false
	}
	newRun(&d.status, d.status.Run+1)
	return true
}

// newRun clears what belongs to the previous run. Its attempts stay as history.
func newRun(status *v1alpha1.WorkspaceJobStatus, run int32) {
	status.Run = run
	status.RunAttempts = 0
	status.State = ""
	status.EnqueuedAt, status.StartedAt, status.FinishedAt, status.NextAttemptAt = nil, nil, nil, nil
	status.Result = nil
	status.Parents = nil
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
