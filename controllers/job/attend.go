package job

import (
	"cmp"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// podRecheck is how often a pod that has not started is checked. What keeps it from
// starting may be only in events, which are not watched.
const podRecheck = 15 * time.Second

// adoptChild records the attempt of a Job that the status does not list: the operator died, or
// its cache lagged, between creating the Job and writing the status.
func adoptChild(o observed, d *decision) {
	if o.child == nil || d.status.UnderWay() != nil {
		return
	}
	run := runOf(o.child, d.status.Run)
	if run > d.status.Run || d.status.State.Final() {
		newRun(&d.status, run)
	}
	record(&d.status, attemptOf(o, o.child, d.status.NextNumber(), run))
	d.status.NextAttemptAt = nil
	if d.status.EnqueuedAt == nil {
		d.status.EnqueuedAt = new(metav1.NewTime(firstDue(o, &d.status)))
	}
}

// attemptOf returns the attempt that the Job runs.
func attemptOf(o observed, child *batchv1.Job, number, run int32) v1alpha1.Attempt {
	return v1alpha1.Attempt{Number: number, Run: run, Job: child.Name, JobUID: child.UID, CreatedAt: metav1.NewTime(startableSince(o, child))}
}

// startableSince returns the time since which the Job's pods could start. A tick may have been created
// long before that. Once it is resumed, the Job controller notes the time, a little later.
func startableSince(o observed, child *batchv1.Job) time.Time {
	switch current := o.job.Status.UnderWay(); {
	case current != nil && current.JobUID == child.UID:
		return current.CreatedAt.Time
	case child.Status.StartTime != nil:
		return child.Status.StartTime.Time
	case child.Name == o.job.Name:
		// A tick that has just been resumed.
		return o.now
	default:
		return child.CreationTimestamp.Time
	}
}

// attend updates the attempt that is under way.
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
		conclude(current, o.seen.End)
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

// stopping waits until the pod has stopped: until then it may still have an effect.
func stopping(o observed, d *decision, current *v1alpha1.Attempt) {
	if !o.stopped {
		d.stop = o.child
	}
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

// pending reports why the pod has not started, and gives up after the limit.
func pending(o observed, d *decision, current *v1alpha1.Attempt) {
	limit := current.CreatedAt.Add(o.limits.Pending)
	if !o.now.Before(limit) {
		current.Outcome = v1alpha1.OutcomeNotStarted
		current.Error = report.Clip(fmt.Sprintf("its pod did not start within %s: %s", o.limits.Pending, cmp.Or(o.seen.Waiting, "the cause is not known")), maxError)
		stopping(o, d, current)
		return
	}
	d.recheck(limit.Sub(o.now))
	awaitPod(o, d, current.Number)
	if o.seen.Waiting != "" {
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonPodPending, fmt.Sprintf("attempt %d: %s", current.Number, o.seen.Waiting), o.now)
	}
}

// awaitPod reports that the attempt waits for its pod to start.
func awaitPod(o observed, d *decision, number int32) {
	d.recheck(podRecheck)
	d.status.NextAttemptAt = nil
	enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued, fmt.Sprintf("attempt %d waits for its pod to start", number), o.now)
}
