package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// pendingLook is how often a pod that has not started is looked at.
const pendingLook = 15 * time.Second

// foreignLook is how often a name that somebody else holds is looked at.
const foreignLook = time.Minute

// observed is all that decide may know.
type observed struct {
	now time.Time
	job *v1alpha1.WorkspaceJob
	// workspace that the namespace belongs to; nil: none.
	workspace *v1alpha1.Workspace
	// child is the Job of the attempt that is under way or, if none is, of the
	// next one: it exists before its time if the operator died after making it.
	// Nil: there is none.
	child *batchv1.Job
	// tick is the suspended Job that a schedule made for the first attempt; nil:
	// there is none, or it was started.
	tick *batchv1.Job
	// seen is what child and its pods tell.
	seen runnerjob.Observation
	// foreign names who holds the child's name, if that is not this job.
	foreign string
	// ended are this job's Jobs that are over.
	ended []batchv1.Job
	// recurring is the recurring job that this is a run of; nil: none.
	recurring *v1alpha1.WorkspaceRecurringJob
	// replacedBy names a newer run that takes this one's place; "": none.
	replacedBy string
	// parents are those of spec.after, in its order.
	parents []parent
	// cycle are the names from this job, by way of its parents, back to it.
	cycle []string
	// awaited: a continuation has not yet seen how this job ends.
	awaited bool
	limits  Limits
}

// template is what the job's attempts run. It is known wherever it is asked for.
func (o observed) template() *v1alpha1.JobTemplate {
	if template := o.job.Template(); template != nil {
		return template
	}
	return &v1alpha1.JobTemplate{}
}

// decision is what to do about what was observed, in this order: stop, start,
// write status, remove.
type decision struct {
	status v1alpha1.WorkspaceJobStatus
	// stop the pods of this Job, so that what they came to is still counted.
	stop *batchv1.Job
	// start this attempt, if the workspace's queue has a place for it.
	start *v1alpha1.Attempt
	// reap these Jobs: nobody needs them any more.
	reap []batchv1.Job
	// remove the WorkspaceJob itself: its time is over.
	remove bool
	// after: look again then; 0: when something changes.
	after time.Duration
}

// look again at the latest after so long.
func (d *decision) look(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

// decide follows a job through its states. It is pure: whatever the operator
// forgot in a crash is in what was observed.
func decide(o observed) decision {
	d := follow(o)
	reap(o, &d)
	return d
}

func follow(o observed) decision {
	d := decision{status: *o.job.Status.DeepCopy()}
	d.status.ObservedGeneration = o.job.Generation
	d.status.Run = max(d.status.Run, 1)
	if o.workspace != nil {
		d.status.Queue = v1alpha1.QueueName(o.workspace.Name)
	}
	noteParents(o, &d)
	adopt(o, &d)
	if current := d.status.UnderWay(); current != nil {
		if attend(o, &d, current); current.FinishedAt == nil {
			return d
		}
		afterAttempt(o, &d, current)
	}
	if d.status.State.Final() && !requeue(o, &d) {
		return d
	}
	switch {
	case o.job.Spec.Cancelled:
		finish(&d, v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, "spec.cancelled is set", o.now)
	case o.replacedBy != "":
		finish(&d, v1alpha1.StateDeleted, v1alpha1.ReasonReplaced, replacedMessage(o.replacedBy), o.now)
	case unresolved(o, &d) || refused(o, &d) || awaits(o, &d) || !due(o, &d):
	default:
		begin(o, &d)
	}
	return d
}

func replacedMessage(by string) string {
	return fmt.Sprintf("run %q of the same recurring job takes its place (concurrencyPolicy Replace)", by)
}

// afterAttempt says what follows the attempt that has just ended.
func afterAttempt(o observed, d *decision, last *v1alpha1.Attempt) {
	at := last.FinishedAt.Time
	told := fmt.Sprintf("attempt %d %s", last.Number, describe(last))
	switch {
	case last.Outcome == v1alpha1.OutcomeSucceeded:
		if o.seen.End != nil {
			d.status.Result = resultOf(o.seen.End.Message.Result)
		}
		finish(d, v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded, told, at)
	case last.Outcome == v1alpha1.OutcomeCancelled || o.job.Spec.Cancelled:
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, told, at)
	case last.Outcome == v1alpha1.OutcomeReplaced:
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonReplaced, told, at)
	case last.Outcome == v1alpha1.OutcomePermanentFailure:
		finish(d, v1alpha1.StateFailed, permanentReason(last), told, at)
	case d.status.RunAttempts > retryLimit(o):
		finish(d, v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted, fmt.Sprintf("%s; no attempt is left after %d", told, d.status.RunAttempts), at)
	case last.Number >= maxNumber:
		finish(d, v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted, fmt.Sprintf("%s; the object has used up its %d attempt numbers: create another WorkspaceJob", told, maxNumber), at)
	default:
		next := metav1.NewTime(at.Add(retryDelay(o, d.status.RunAttempts)).Round(time.Second))
		d.status.NextAttemptAt = &next
		enter(&d.status, v1alpha1.StateScheduled, v1alpha1.ReasonRetryScheduled, fmt.Sprintf("%s; retry %d of %d is due at %s", told, d.status.RunAttempts, retryLimit(o), stamp(next.Time)), o.now)
	}
}

// requeue starts another run of a finished job whose requeueAt has come. It
// reports whether it did; if not, the job stays as it is or, after its time, goes.
func requeue(o observed, d *decision) bool {
	if d.status.FinishedAt == nil {
		d.status.FinishedAt = new(metav1.NewTime(o.now))
	}
	spec, finished := o.job.Spec, d.status.FinishedAt
	// The status keeps whole seconds: a run that is asked for at 8.1 s and ends at 8.9 s has
	// finished at 8, which is not before it was asked for.
	if again := spec.RequeueAt; again != nil && !spec.Cancelled && finished.Time.Before(again.Truncate(time.Second)) {
		if o.now.Before(again.Time) {
			d.look(again.Sub(o.now))
			return false
		}
		newRun(&d.status, d.status.Run+1)
		return true
	}
	expire(o, d)
	return false
}

// due reports whether the next attempt's time has come, and says so if not.
func due(o observed, d *decision) bool {
	at := firstDue(o, &d.status)
	reason, message := v1alpha1.ReasonScheduled, fmt.Sprintf("due at %s", stamp(at))
	if d.status.RunAttempts > 0 && d.status.NextAttemptAt != nil {
		at, reason, message = d.status.NextAttemptAt.Time, v1alpha1.ReasonRetryScheduled, d.status.Message
	}
	if !o.now.Before(at) {
		return true
	}
	d.look(at.Sub(o.now))
	d.status.NextAttemptAt = new(metav1.NewTime(at))
	enter(&d.status, v1alpha1.StateScheduled, reason, message, o.now)
	return false
}

// refused tells at once, without waiting for its time, of a job that can't run as
// it is or where it is.
func refused(o observed, d *decision) bool {
	if args := o.template().Args; args != nil && len(args.Raw) > contract.MaxArgs {
		finish(d, v1alpha1.StateFailed, v1alpha1.ReasonInvalidArguments, fmt.Sprintf("args are %d bytes of JSON; at most %d (64 KiB) are allowed: put the data into the database and pass a key to it", len(args.Raw), contract.MaxArgs), o.now)
		return true
	}
	if o.workspace == nil {
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonNotInWorkspace, fmt.Sprintf("namespace %q belongs to no Workspace: create the job in a workspace's namespace (kubectl get workspaces), or have a cluster admin make this one a workspace's", o.job.Namespace), o.now)
		return true
	}
	return false
}

// begin asks for a place for the next attempt, if the workspace can take it.
func begin(o observed, d *decision) {
	if d.status.EnqueuedAt == nil {
		d.status.EnqueuedAt = new(metav1.NewTime(firstDue(o, &d.status)))
	}
	if message := workspace.Obstacle(o.workspace); message != "" {
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonWorkspaceNotReady, message, o.now)
		return
	}
	if o.foreign != "" {
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonNameTaken, o.foreign, o.now)
		d.look(foreignLook)
		return
	}
	number := d.status.NextNumber()
	d.start = &v1alpha1.Attempt{
		Number: number, Run: d.status.Run, Job: o.job.AttemptName(number), CreatedAt: metav1.NewTime(o.now),
	}
}

// admitted: the attempt has got a place, and starts now.
func admitted(o observed, d *decision) {
	record(&d.status, *d.start)
	d.look(pendingLook)
	d.status.NextAttemptAt = nil
	enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued, fmt.Sprintf("attempt %d waits for its pod to start", d.start.Number), o.now)
}
