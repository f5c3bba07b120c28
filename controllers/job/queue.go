package job

import (
	"fmt"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// slotRetry is how soon a reservation is checked again that could not be ended.
const slotRetry = time.Second

// queueing is where a job is in its workspace's queue. 0 means that this reconcile has not
// put it anywhere yet.
type queueing int

const (
	// outside jobs want no slot.
	outside queueing = iota + 1
	// waiting jobs want a slot for their next attempt, or have one.
	waiting
	// running jobs have an attempt under way.
	running
)

func (q queueing) String() string {
	return [...]string{"", "outside", "waiting", "running"}[q]
}

// entryOf returns the entry with which the job asks for a slot.
func entryOf(o observed, d *decision) admission.Entry {
	asking := *o.job
	asking.Status = d.status
	return admission.EntryOf(&asking, o.recurring)
}

// awaitSlot decides what the queue's answer means for the attempt.
func awaitSlot(o observed, d *decision, next v1alpha1.Attempt) {
	switch slot := o.slot; {
	case slot == nil:
		keepReported(o, d)
	case slot.Rejected:
		finish(d, v1alpha1.StateDeleted, slot.Reason, rejectedMessage(slot), o.now)
	case slot.Admitted:
		d.start = &next
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued, fmt.Sprintf("attempt %d has a slot and starts", next.Number), o.now)
	case slot.Reason == "":
		d.recheck(slot.After)
		keepReported(o, d)
	case slot.Unchanged && stillWaits(o, d) && saysSo(o, slot):
		d.recheck(slot.After)
		d.status = *o.job.Status.DeepCopy()
	default:
		d.recheck(slot.After)
		enter(&d.status, v1alpha1.StateEnqueued, slot.Reason, waitMessage(o, slot), o.now)
	}
}

// keepReported leaves the status as it is while the queue has no answer, so that a restart
// of the operator does not write ten thousand waiting jobs. An attempt, run or parent that
// the status lacks is reported all the same.
func keepReported(o observed, d *decision) {
	if nothingNew(o, d) {
		d.status = *o.job.Status.DeepCopy()
		return
	}
	enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonQueued, fmt.Sprintf("waits for an answer from queue %s", d.status.Queue), o.now)
}

// nothingNew reports whether the status lacks no attempt, run or parent that has to be
// reported.
func nothingNew(o observed, d *decision) bool {
	reported := &o.job.Status
	return reported.UnderWay() == nil && max(reported.Run, 1) == d.status.Run &&
		reported.RunAttempts == d.status.RunAttempts && len(reported.Parents) == len(d.status.Parents)
}

// stillWaits reports whether the status of this generation already says that the job waits
// for its next attempt. It need not be written each time that the queue moves.
func stillWaits(o observed, d *decision) bool {
	reported := &o.job.Status
	return nothingNew(o, d) && reported.ObservedGeneration == o.job.Generation && reported.State == v1alpha1.StateEnqueued
}

// saysSo reports whether the status gives the answer's reason, and names the run in the way.
func saysSo(o observed, slot *admission.Answer) bool {
	reported := &o.job.Status
	return report.Reason(reported.Conditions) == slot.Reason && (slot.By == "" || reported.Message == waitMessage(o, slot))
}

func waitMessage(o observed, slot *admission.Answer) string {
	queue := v1alpha1.QueueName(o.workspace.Name)
	switch slot.Reason {
	case v1alpha1.ReasonQueueSuspended:
		return fmt.Sprintf("queue %s is suspended (spec.suspend of Workspace %q); %s", queue, o.workspace.Name, before(slot.Before))
	case v1alpha1.ReasonConcurrencyKeyBusy:
		return fmt.Sprintf("another job with concurrencyKey %q is processing; %s in queue %s", report.Clip(o.template().ConcurrencyKey, maxKey), before(slot.Before), queue)
	case v1alpha1.ReasonEarlierRunActive:
		return fmt.Sprintf("waits until run %q of the same recurring job has finished", slot.By)
	default:
		return fmt.Sprintf("queue %s processes at most %d jobs at once; %s", queue, o.workspace.Limit(), before(slot.Before))
	}
}

// maxKey is how much of a concurrencyKey a message quotes, in bytes.
const maxKey = 100

func before(n int) string {
	switch n {
	case 0:
		return "no job is ahead of it"
	case 1:
		return "1 job is ahead of it"
	default:
		return fmt.Sprintf("%d jobs are ahead of it", n)
	}
}

func rejectedMessage(slot *admission.Answer) string {
	if slot.Reason == v1alpha1.ReasonRunQueueFull {
		return fmt.Sprintf("%d runs of the same recurring job are already waiting for run %q (concurrencyPolicy Queue)", v1alpha1.MaxQueuedRuns, slot.By)
	}
	return fmt.Sprintf("run %q of the same recurring job has not finished (concurrencyPolicy Forbid)", slot.By)
}

func replacedMessage(by string) string {
	return fmt.Sprintf("run %q of the same recurring job replaces it (concurrencyPolicy Replace)", by)
}
