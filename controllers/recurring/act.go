package recurring

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/adopt"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// act does the first thing that has to be done before the status can be reported, and adds
// the API server's answer to o. A refusal is an answer; an error is worth a retry.
func (r *Reconciler) act(ctx context.Context, o *observed, d decision) error {
	switch {
	case d.doubts.any():
		return r.verify(ctx, o, d.doubts)
	case d.apply != nil:
		return r.apply(ctx, o, d.apply)
	case d.suspend != nil:
		return r.suspend(ctx, o, d.suspend)
	default:
		return r.create(ctx, o, d.create)
	}
}

// apply applies the CronJob, an observed or a new one.
func (r *Reconciler) apply(ctx context.Context, o *observed, cronJob *batchv1.CronJob) error {
	config, err := configOf(cronJob)
	if err != nil {
		return err
	}
	options := []client.ApplyOption{client.FieldOwner(v1alpha1.ManagedBy)}
	if cronJob.UID != "" {
		// Only for a CronJob that was observed: a new one must conflict with a CronJob
		// that another owner has created meanwhile.
		options = append(options, client.ForceOwnership)
	}
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(config), options...)
	if refusal := report.RefusalOf(err); refusal != nil {
		o.cronJobRefused = refusal
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply CronJob %q: %w", cronJob.Name, err)
	}
	applied := &batchv1.CronJob{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(config.Object, applied); err != nil {
		return fmt.Errorf("read CronJob %q: %w", cronJob.Name, err)
	}
	o.cronJob, o.cronJobDone, o.cronJobApplied = applied, true, true
	return nil
}

// suspend suspends the CronJob and changes nothing else in it. It is the last resort: if
// the API server refuses this as well, nothing more can be done about the CronJob.
func (r *Reconciler) suspend(ctx context.Context, o *observed, cronJob *batchv1.CronJob) error {
	changed := cronJob.DeepCopy()
	changed.Spec.Suspend = new(true)
	patch := client.MergeFromWithOptions(cronJob, client.MergeFromWithOptimisticLock{})
	err := r.Client.Patch(ctx, changed, patch, client.FieldOwner(v1alpha1.ManagedBy))
	if refusal := report.RefusalOf(err); refusal != nil {
		o.cronJobRefused, o.cronJobDone = refusal, true
		return nil
	}
	if err != nil {
		return fmt.Errorf("suspend CronJob %q: %w", cronJob.Name, err)
	}
	o.cronJob, o.cronJobDone = changed, true
	return nil
}

// create creates the WorkspaceJobs of runs that are due, in this order. A refused run holds
// up those behind it; a run whose name belongs to another owner's object does not.
func (r *Reconciler) create(ctx context.Context, o *observed, runs []v1alpha1.WorkspaceJob) error {
	owns := func(run *v1alpha1.WorkspaceJob) bool { return metav1.IsControlledBy(run, o.recurring) }
	for i := range runs {
		name := runs[i].Name
		answer, err := adopt.Create(ctx, r.Client, r.APIReader, runs[i].DeepCopy(), owns)
		switch {
		case err != nil:
			return err
		case answer.Refusal != nil:
			o.refuse(name, *answer.Refusal)
			return nil
		case answer.Foreign != nil:
			o.refuse(name, report.Refusal{Kind: report.NameTaken})
			o.verified.note(doubts{runs: []string{name}})
		default:
			o.runs = append(o.runs, *answer.Object)
		}
	}
	return nil
}

// remove deletes what the status, which has been written, no longer needs. An object that
// has changed since it was observed stays: a finished run may have been requeued, and a
// tick started.
func (r *Reconciler) remove(ctx context.Context, d decision) []error {
	var faults []error
	for i := range d.removeRuns {
		run := &d.removeRuns[i]
		err := r.Client.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			faults = append(faults, fmt.Errorf("delete WorkspaceJob %q: %w", run.Name, err))
		}
	}
	for i := range d.removeTicks {
		tick := &d.removeTicks[i]
		observed := client.Preconditions{UID: &tick.UID}
		if unstarted(tick) {
			observed.ResourceVersion = &tick.ResourceVersion
		}
		err := r.Client.Delete(ctx, tick, observed, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			faults = append(faults, fmt.Errorf("delete Job %q: %w", tick.Name, err))
		}
	}
	return faults
}
