package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// observed is all that decide may know. The fields from queue on are the results of acting in
// this reconcile.
type observed struct {
	now    time.Time
	limits Limits
	job    *v1alpha1.WorkspaceJob
	// workspace that the namespace belongs to, or nil.
	workspace *v1alpha1.Workspace
	// child is the Job of the attempt that is under way, or nil. If no attempt is under
	// way, it is the next attempt's Job, which exists if the operator died after creating
	// it.
	child *batchv1.Job
	// seen is what child and its pods show.
	seen runnerjob.Observation
	// tick is the suspended Job that a schedule made for the first attempt, or nil.
	tick *batchv1.Job
	// foreign is the name of another owner's Job that has the next attempt's name, or "".
	foreign string
	// ended lists the attempts' Jobs that run nothing any more.
	ended []batchv1.Job
	// recurring is the recurring job that this is a run of, or nil.
	recurring *v1alpha1.WorkspaceRecurringJob
	// replacedBy names a newer run that takes this one's place, or is "".
	replacedBy string
	// parents are those of spec.after, in its order.
	parents []parent
	// cycle names the jobs on the way from this job through its parents back to it.
	cycle []string
	// awaited means that a continuation has not seen yet how this job ended.
	awaited bool

	// queue is where this reconcile has put the job in its workspace's queue.
	queue queueing
	// slot is what the queue answered, or nil.
	slot *admission.Answer
	// reserved means that the job could not leave the queue: it keeps its reservation
	// until the Job or pod of its attempt is gone.
	reserved bool
	// made is the Job of the attempt that this reconcile has started, or nil.
	made *batchv1.Job
	// refusal is why the API server refused to create that Job, or nil.
	refusal *report.Refusal
	// stopped means that this reconcile has asked child's pods to stop.
	stopped bool
	// failed is the error that ended this reconcile; nil if none did.
	failed error
}

// template is what the job's attempts run; empty while it is not known yet.
func (o observed) template() *v1alpha1.JobTemplate {
	if template := o.job.Template(); template != nil {
		return template
	}
	return &v1alpha1.JobTemplate{}
}

// withdrawn reports whether the job must not start any more.
func (o observed) withdrawn() bool { return o.job.Spec.Cancelled || o.replacedBy != "" }

// decision is what to do about what was observed.
type decision struct {
	status v1alpha1.WorkspaceJobStatus
	// queue is where the job belongs in the workspace's queue.
	queue queueing
	// ask for a slot with this entry if queue is waiting.
	ask admission.Entry
	// stop the pods of this Job in a way that still counts how they ended.
	stop *batchv1.Job
	// reap these Jobs, which are no longer needed.
	reap []batchv1.Job
	// start this attempt, which has a slot.
	start *v1alpha1.Attempt
	// remove the WorkspaceJob itself, whose retention has passed.
	remove bool
	// after is when to reconcile again at the latest; 0 means when something changes.
	after time.Duration
}

// acts reports whether there is something to do before the status is reported.
func (d *decision) acts(o observed) bool {
	return o.failed == nil && (d.queue != o.queue || d.stop != nil || len(d.reap) > 0 || d.start != nil)
}

// does names the actions, for the log.
func (d *decision) does(o observed) []string {
	var verbs []string
	if d.queue != o.queue {
		verbs = append(verbs, "queue:"+d.queue.String())
	}
	if d.stop != nil {
		verbs = append(verbs, "stop:"+d.stop.Name)
	}
	if len(d.reap) > 0 {
		verbs = append(verbs, "reap:"+report.Listed(report.Names(d.reap)))
	}
	if d.start != nil {
		verbs = append(verbs, "start:"+d.start.Job)
	}
	if d.remove {
		verbs = append(verbs, "remove")
	}
	return verbs
}

// recheck has the job reconciled again after this time at the latest.
func (d *decision) recheck(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

// decide follows a job through its states. It is pure: whatever the operator forgot in a
// crash is in what was observed.
func decide(o observed) decision {
	d := decision{status: *o.job.Status.DeepCopy(), queue: outside}
	d.status.ObservedGeneration = o.job.Generation
	d.status.Run = max(d.status.Run, 1)
	if o.workspace != nil {
		d.status.Queue = v1alpha1.QueueName(o.workspace.Name)
	}
	if o.reserved {
		d.recheck(slotRetry)
	}
	follow(o, &d)
	reap(o, &d)
	if o.failed != nil && (d.stop != nil || d.start != nil) {
		// Nothing has stopped or started yet, and the status must not say so.
		d.status = *o.job.Status.DeepCopy()
	}
	return d
}

func follow(o observed, d *decision) {
	noteParents(o, d)
	adoptChild(o, d)
	if current := d.status.UnderWay(); current != nil {
		if attend(o, d, current); current.FinishedAt == nil {
			d.queue = running
			return
		}
		afterAttempt(o, d, current)
		if !d.status.State.Final() && o.withdrawn() {
			// The operator may have died after it made the next attempt's Job. That Job is
			// looked for once the status says that no attempt is under way.
			d.recheck(report.Soon)
			d.status.NextAttemptAt = nil
			enter(&d.status, v1alpha1.StateScheduled, v1alpha1.ReasonCancelling, describe(current)+"; no other attempt follows", o.now)
			return
		}
	}
	if d.status.State.Final() && !requeue(o, d) {
		expire(o, d)
		return
	}
	for _, decided := range []func(observed, *decision) bool{withdraw, resolveTemplate, rejectUnfit, awaitParents, awaitDue} {
		if decided(o, d) {
			return
		}
	}
	begin(o, d)
}

// withdraw ends a job that was cancelled or replaced before its next attempt started. It
// reports whether it did.
func withdraw(o observed, d *decision) bool {
	switch {
	case o.job.Spec.Cancelled:
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, "spec.cancelled is set", o.now)
	case o.replacedBy != "":
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonReplaced, replacedMessage(o.replacedBy), o.now)
	default:
		return false
	}
	return true
}

// resolveTemplate gives a job with recurringJobRef its template, and reports whether the job
// has none in its stored status. The template is stored before any attempt starts, so that
// all attempts run the same.
func resolveTemplate(o observed, d *decision) bool {
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

// rejectUnfit reports whether the job can't run with its arguments, in its namespace, or at
// all because no attempt number is left. The status says so at once, before the job is due.
func rejectUnfit(o observed, d *decision) bool {
	if size := cached.Size(o.template().Args); size > contract.MaxArgs {
		finish(d, v1alpha1.StateFailed, v1alpha1.ReasonInvalidArguments, fmt.Sprintf("args are %d bytes of JSON; at most %d (64 KiB) are allowed: put the data into the database and pass a key to it", size, contract.MaxArgs), o.now)
		return true
	}
	if d.status.NextNumber() > maxNumber {
		finish(d, v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted, numbersUsedUp, o.now)
		return true
	}
	if o.workspace == nil {
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonNotInWorkspace, fmt.Sprintf("namespace %q belongs to no Workspace: create the job in a workspace's namespace (kubectl get workspaces), or have a cluster admin make this one a workspace's", o.job.Namespace), o.now)
		return true
	}
	return false
}

// begin takes the next attempt, which is due, through the queue and starts it.
func begin(o observed, d *decision) {
	if d.status.EnqueuedAt == nil {
		d.status.EnqueuedAt = new(metav1.NewTime(firstDue(o, &d.status)))
	}
	number := d.status.NextNumber()
	message := workspace.Obstacle(o.workspace)
	switch {
	// What this reconcile has done is recorded, whatever else is true.
	case o.made != nil:
		d.queue = running
		record(&d.status, attemptOf(o, o.made, number, d.status.Run))
		awaitPod(o, d, number)
	case message != "":
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonWorkspaceNotReady, message, o.now)
	case o.foreign != "":
		d.recheck(report.NameTakenRetry)
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonNameTaken, foreignMessage(o.foreign), o.now)
	case o.refusal != nil:
		refused(o, d)
	default:
		d.queue, d.ask = waiting, entryOf(o, d)
		awaitSlot(o, d, v1alpha1.Attempt{Number: number, Run: d.status.Run, Job: o.job.AttemptName(number)})
	}
}

func foreignMessage(name string) string {
	return fmt.Sprintf("a Job named %q exists already and does not belong to this WorkspaceJob: have a cluster admin delete it, or create the WorkspaceJob under another name", name)
}

// refused reports why the API server refuses the attempt's Job. The attempt gives its slot
// back, and asks for another one later. If the quota is used up, it keeps the slot: all that
// wait behind it would be refused too, one after the other.
func refused(o observed, d *decision) {
	d.recheck(o.refusal.RetryAfter())
	if o.refusal.OverQuota() {
		d.queue = o.queue
	}
	switch o.refusal.Kind {
	case report.Invalid:
		stall(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonJobRefused,
			"the API server refuses the attempt's Job; fix this in the job or in its Workspace: "+o.refusal.Message, o.now)
	case report.NamespaceTerminating:
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonWorkspaceNotReady, "the namespace is being deleted", o.now)
	default:
		enter(&d.status, v1alpha1.StateEnqueued, v1alpha1.ReasonPodPending,
			fmt.Sprintf("the attempt's Job was refused; it is tried again every %s: %s", o.refusal.RetryAfter(), o.refusal.Message), o.now)
	}
}
