package recurring

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// observed is all that decide may know.
type observed struct {
	now       time.Time
	recurring *v1alpha1.WorkspaceRecurringJob
	fence     runnerjob.Fence
	// workspace that the namespace belongs to, or nil.
	workspace *v1alpha1.Workspace
	// coming is the workspace that is about to get the namespace, or nil.
	coming *v1alpha1.Workspace
	// cronJob that this recurring job controls, or nil.
	cronJob *batchv1.CronJob
	// foreign is another owner's CronJob of this name, or nil.
	foreign *batchv1.CronJob
	// ticks are the Jobs that cronJob controls.
	ticks []batchv1.Job
	// runs are the WorkspaceJobs of the series. They belong to the cache: read-only.
	runs []v1alpha1.WorkspaceJob
	// awaited are the runs whose end a continuation has not seen yet.
	awaited []string

	// The fields from here on come from the API server's answers in this reconcile.

	// verified is what the API server itself was asked about.
	verified verified
	// cronJobDone is set once nothing more can be done about the CronJob.
	cronJobDone bool
	// cronJobApplied means that cronJob is the API server's answer to what was wanted.
	cronJobApplied bool
	// cronJobRefused is why the API server refused the CronJob, or nil.
	cronJobRefused *report.Refusal
	// refusals of runs, by their names.
	refusals map[string]report.Refusal
	// failed is the error that ended the acting, or nil.
	failed error
}

// refuse notes that the API server refused a run.
func (o *observed) refuse(name string, why report.Refusal) {
	if o.refusals == nil {
		o.refusals = map[string]report.Refusal{}
	}
	o.refusals[name] = why
}

// decision is what to do about what was observed, in this order: doubts, the CronJob, runs.
// When none of that is left to do, the status is written, and then what it no longer needs
// is removed.
type decision struct {
	// doubts must be cleared up before anything else is done.
	doubts doubts
	// apply this CronJob. Nil if it is as it should be.
	apply *batchv1.CronJob
	// suspend this CronJob and leave the rest of it as it is. Nil for none.
	suspend *batchv1.CronJob
	// create these WorkspaceJobs, in this order.
	create []v1alpha1.WorkspaceJob

	status v1alpha1.WorkspaceRecurringJobStatus
	// removeTicks are Jobs that have no run and will get none.
	removeTicks []batchv1.Job
	// removeRuns are finished runs beyond the history limits.
	removeRuns []v1alpha1.WorkspaceJob
	// after is when to reconcile again at the latest; 0 means when something changes.
	after time.Duration

	// reported are the runs of occurrences that the status reports from now on.
	reported map[string]bool
	// skipped are the runs that the overlap policy has ended since the last status.
	skipped []string
	// namesTaken are missed runs whose names other owners' objects have.
	namesTaken []string
	// startedManually are missed runs whose ticks a person started.
	startedManually []string
	// crowded is set if so many runs are unfinished that no other is created.
	crowded bool
}

// acts reports whether there is something to do before the status can be reported.
func (d *decision) acts() bool {
	return d.doubts.any() || d.apply != nil || d.suspend != nil || len(d.create) > 0
}

// does names the actions, for the log.
func (d *decision) does() []string {
	verbs := d.doubts.verbs()
	if d.apply != nil {
		verbs = append(verbs, "apply the CronJob")
	}
	if d.suspend != nil {
		verbs = append(verbs, "suspend the CronJob")
	}
	for _, on := range []struct {
		verb  string
		names []string
	}{
		{"create runs ", report.Names(d.create)}, {"remove runs ", report.Names(d.removeRuns)}, {"remove Jobs ", report.Names(d.removeTicks)},
	} {
		if len(on.names) > 0 {
			verbs = append(verbs, on.verb+report.Listed(on.names))
		}
	}
	return verbs
}

// recheck has the recurring job reconciled again after this time at the latest.
func (d *decision) recheck(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

// decide compares what was observed with the spec. It is pure. If the decision would rest
// on something doubtful, decide returns the doubt instead.
func decide(o observed) decision {
	d := decision{status: *o.recurring.Status.DeepCopy(), reported: map[string]bool{}}
	wanted, invalid := planOf(o)
	decideCronJob(o, &d, wanted)
	if o.cronJobApplied {
		d.status.CronJobGeneration = o.cronJob.Generation
	}
	kept := keptBy(o.cronJob)
	decideOccurrences(o, &d, kept)
	account(o, &d)
	trimHistory(o, &d)
	decideNext(o, &d, kept)
	conclude(o, &d, invalid)
	if doubts := doubtsOf(o, &d); doubts.any() {
		d = decision{status: o.recurring.Status}
		if o.failed == nil {
			d.doubts = doubts
		}
	}
	return d
}

// decideCronJob applies the CronJob as the spec says. If that is not possible and nothing
// may become due, it at least suspends the CronJob.
func decideCronJob(o observed, d *decision, wanted *plan) {
	homeless := o.workspace == nil || !o.workspace.DeletionTimestamp.IsZero()
	switch {
	case o.foreign != nil || o.cronJobDone || o.failed != nil:
	case homeless, o.cronJobRefused != nil, wanted == nil, tooLarge(o):
		if o.cronJob != nil && !suspended(o.cronJob) && (homeless || o.recurring.Spec.Suspend) {
			d.suspend = o.cronJob
		}
	default:
		if cronJob := build(o, wanted); !upToDate(o, cronJob) {
			d.apply = cronJob
		}
	}
}
