package job

import (
	"fmt"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

// waits: the attempt has no place. Its status tells why and how many are before
// it, but is not written at every move of the queue.
func waits(o observed, d *decision, v admission.Verdict) {
	d.start = nil
	d.look(v.After)
	told := &o.job.Status
	if v.Reason == "" {
		// Nothing is known yet, so nothing is told.
		d.status = *told.DeepCopy()
		return
	}
	if v.Unchanged && told.ObservedGeneration == o.job.Generation && told.State == v1alpha1.StateEnqueued && conditions.Reason(told.Conditions) == v.Reason {
		d.status = *told.DeepCopy()
		return
	}
	enter(&d.status, v1alpha1.StateEnqueued, v.Reason, waitMessage(o, v), o.now)
}

func waitMessage(o observed, v admission.Verdict) string {
	queue := v1alpha1.QueueName(o.workspace.Name)
	switch v.Reason {
	case v1alpha1.ReasonQueueSuspended:
		return fmt.Sprintf("queue %s is suspended (spec.suspend of Workspace %q); %s", queue, o.workspace.Name, before(v.Before))
	case v1alpha1.ReasonConcurrencyKeyBusy:
		return fmt.Sprintf("another job with concurrencyKey %q is processing; %s in queue %s", conditions.Clip(o.template().ConcurrencyKey, maxKey), before(v.Before), queue)
	case v1alpha1.ReasonEarlierRunActive:
		return fmt.Sprintf("waits until run %q of the same recurring job has finished", v.By)
	default:
		return fmt.Sprintf("queue %s processes at most %d jobs at once; %s", queue, o.workspace.Limit(), before(v.Before))
	}
}

// maxKey is how much of a concurrencyKey a message quotes, in bytes.
const maxKey = 100

func before(n int) string {
	switch n {
	case 0:
		return "no job is before it"
	case 1:
		return "1 job is before it"
	default:
		return fmt.Sprintf("%d jobs are before it", n)
	}
}

// rejected: the run must not start, for the sake of an earlier one.
func rejected(o observed, d *decision, v admission.Verdict) {
	d.start = nil
	message := fmt.Sprintf("run %q of the same recurring job has not finished (concurrencyPolicy Forbid)", v.By)
	if v.Reason == v1alpha1.ReasonRunQueueFull {
		message = fmt.Sprintf("%d runs of the same recurring job wait already for run %q (concurrencyPolicy Queue)", v1alpha1.MaxQueuedRuns, v.By)
	}
	finish(d, v1alpha1.StateDeleted, v.Reason, message, o.now)
	reap(o, d)
}

// unresolved reports whether a job with recurringJobRef does not know yet what to
// run. What it finds is written down before anything is done with it, so that all
// attempts run the same.
func unresolved(o observed, d *decision) bool {
	ref := o.job.Spec.RecurringJobRef
	if ref == nil || o.job.Status.Template != nil {
		return false
	}
	if o.recurring == nil {
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonRecurringJobNotFound,
			fmt.Sprintf("namespace %q has no WorkspaceRecurringJob %q: create it, or delete this job", o.job.Namespace, ref.Name), o.now)
		return true
	}
	d.status.Template = o.recurring.Spec.Template.DeepCopy()
	enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued, fmt.Sprintf("runs what recurring job %q runs", ref.Name), o.now)
	return true
}
