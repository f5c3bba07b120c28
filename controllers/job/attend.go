package job

import (
	"cmp"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// adopt takes up a Job that exists though the status doesn't know it: the
// operator died, or its cache lagged, between making the Job and writing so.
func adopt(o observed, d *decision) {
	if o.child == nil || d.status.UnderWay() != nil {
		return
	}
	run := runOf(o.child, d.status.Run)
	if run > d.status.Run || d.status.State.Final() {
		newRun(&d.status, run)
	}
	record(&d.status, v1alpha1.Attempt{
		Number: d.status.NextNumber(), Run: run, Job: o.child.Name, JobUID: o.child.UID, CreatedAt: startedOrCreated(o.child),
	})
	d.status.NextAttemptAt = nil
	if d.status.EnqueuedAt == nil {
		d.status.EnqueuedAt = new(metav1.NewTime(firstDue(o, &d.status)))
	}
}

// startedOrCreated: a Job that a schedule made may have waited for long.
func startedOrCreated(child *batchv1.Job) metav1.Time {
	if child.Status.StartTime != nil {
		return *child.Status.StartTime
	}
	return child.CreationTimestamp
}

// attend brings the attempt that is under way up to date.
func attend(o observed, d *decision, current *v1alpha1.Attempt) {
	if o.child == nil {
		end(current, cmp.Or(current.Outcome, v1alpha1.OutcomeLost), "its Job was deleted before its end was seen", o.now)
		return
	}
	current.JobUID = o.child.UID
	if current.StartedAt == nil && o.seen.StartedAt != nil {
		current.StartedAt = o.seen.StartedAt.DeepCopy()
	}
	if d.status.StartedAt == nil {
		d.status.StartedAt = current.StartedAt.DeepCopy()
	}
	switch {
	case o.seen.End != nil:
		settle(current, o.seen.End)
	case current.Outcome != "" && runnerjob.Over(o.child) != nil:
		end(current, current.Outcome, current.Error, o.now)
	case current.Outcome != "":
		stopping(o, d, current)
	case o.job.Spec.Cancelled:
		current.Outcome, current.Error = v1alpha1.OutcomeCancelled, "spec.cancelled was set"
		stopping(o, d, current)
	case o.replacedBy != "":
		current.Outcome, current.Error = v1alpha1.OutcomeReplaced, replacedMessage(o.replacedBy)
		stopping(o, d, current)
	case current.StartedAt != nil:
		enter(&d.status, v1alpha1.StateProcessing, v1alpha1.ReasonProcessing, fmt.Sprintf("attempt %d is running", current.Number), o.now)
	default:
		pending(o, d, current)
	}
}

// stopping waits until the pod has stopped: only then can nothing happen any more.
func stopping(o observed, d *decision, current *v1alpha1.Attempt) {
	d.stop = o.child
	state := v1alpha1.StateEnqueued
	if current.StartedAt != nil {
		state = v1alpha1.StateProcessing
	}
	reason := v1alpha1.ReasonPodPending
	if current.Outcome == v1alpha1.OutcomeCancelled || current.Outcome == v1alpha1.OutcomeReplaced {
		reason = v1alpha1.ReasonCancelling
	}
	enter(&d.status, state, reason, fmt.Sprintf("attempt %d is being stopped: %s", current.Number, current.Error), o.now)
}

// pending tells why the pod has not started, and gives up after the limit.
func pending(o observed, d *decision, current *v1alpha1.Attempt) {
	limit := current.CreatedAt.Add(o.limits.Pending)
	if !o.now.Before(limit) {
		current.Outcome = v1alpha1.OutcomeNotStarted
		current.Error = conditions.Clip(fmt.Sprintf("its pod did not start within %s: %s", o.limits.Pending, cmp.Or(o.seen.Waiting, "nothing says why")), maxError)
		stopping(o, d, current)
		return
	}
	d.look(min(pendingLook, limit.Sub(o.now)))
	reason, message := v1alpha1.ReasonEnqueued, fmt.Sprintf("attempt %d waits for its pod to start", current.Number)
	if o.seen.Waiting != "" {
		reason = v1alpha1.ReasonPodPending
		message = fmt.Sprintf("attempt %d: %s", current.Number, o.seen.Waiting)
	}
	enter(&d.status, v1alpha1.StateEnqueued, reason, message, o.now)
}
