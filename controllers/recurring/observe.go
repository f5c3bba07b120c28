package recurring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// observe gathers all that decide needs. The cache may lag: where acting on what it
// lacks would be wrong, the API server is asked.
func (r *Reconciler) observe(ctx context.Context, recurring *v1alpha1.WorkspaceRecurringJob) (observed, error) {
	o := observed{now: r.Clock.Now(), recurring: recurring}
	if err := r.observeWorkspace(ctx, &o); err != nil {
		return o, err
	}
	if err := r.observeCronJob(ctx, &o); err != nil {
		return o, err
	}
	if err := r.observeRuns(ctx, &o); err != nil {
		return o, err
	}
	for i := range o.runs {
		if !ended(&o.runs[i]) {
			continue
		}
		awaited, err := continuation.Await(ctx, r.Client, recurring.Namespace, o.runs[i].Name)
		if err != nil {
			return o, err
		}
		if awaited {
			o.awaited = append(o.awaited, o.runs[i].Name)
		}
	}
	return o, nil
}

func (r *Reconciler) observeWorkspace(ctx context.Context, o *observed) error {
	var err error
	if o.workspace, err = workspace.Of(ctx, r.Client, o.recurring.Namespace); err != nil || o.workspace != nil {
		return err
	}
	o.coming, err = workspace.Coming(ctx, r.Client, o.recurring.Namespace)
	return err
}

// observeCronJob tells of the CronJob, and of the Jobs that it controls.
func (r *Reconciler) observeCronJob(ctx context.Context, o *observed) error {
	cronJob, err := r.cronJobOf(ctx, o.recurring)
	if err != nil || cronJob == nil {
		return err
	}
	if !metav1.IsControlledBy(cronJob, o.recurring) {
		o.foreign = cronJob
		return nil
	}
	o.cronJob = cronJob
	var ticks batchv1.JobList
	if err := r.Client.List(ctx, &ticks, client.InNamespace(cronJob.Namespace), client.MatchingFields{runnerjob.IndexOwner: string(cronJob.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the Jobs of CronJob %q: %w", cronJob.Name, err)
	}
	for i := range ticks.Items {
		if tick := &ticks.Items[i]; metav1.IsControlledBy(tick, cronJob) && tick.DeletionTimestamp.IsZero() {
			o.ticks = append(o.ticks, *tick)
		}
	}
	return nil
}

func (r *Reconciler) observeRuns(ctx context.Context, o *observed) error {
	var runs v1alpha1.WorkspaceJobList
	if err := r.Client.List(ctx, &runs, client.InNamespace(o.recurring.Namespace), client.MatchingFields{admission.IndexSeries: o.recurring.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the runs of %q: %w", o.recurring.Name, err)
	}
	for i := range runs.Items {
		if isOf(o.recurring, &runs.Items[i]) {
			o.runs = append(o.runs, runs.Items[i])
		}
	}
	if err := r.observeAnew(ctx, o); err != nil {
		return err
	}
	for _, name := range doubtful(*o) {
		run := &v1alpha1.WorkspaceJob{}
		err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: o.recurring.Namespace, Name: name}, run)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read WorkspaceJob %q: %w", name, err)
		}
		if err == nil && isOf(o.recurring, run) {
			o.runs = append(o.runs, unheard(*run))
		}
	}
	return r.observeMissed(ctx, o)
}

// observeMissed asks for all runs before any is called missed.
func (r *Reconciler) observeMissed(ctx context.Context, o *observed) error {
	if decide(*o).status.MissedRuns == o.recurring.Status.MissedRuns {
		return nil
	}
	var live v1alpha1.WorkspaceJobList
	if err := r.APIReader.List(ctx, &live, client.InNamespace(o.recurring.Namespace), client.MatchingLabels{v1alpha1.LabelRecurringJob: o.recurring.Name}); err != nil {
		return fmt.Errorf("list the runs of %q: %w", o.recurring.Name, err)
	}
	for i := range live.Items {
		run := &live.Items[i]
		known := slices.ContainsFunc(o.runs, func(seen v1alpha1.WorkspaceJob) bool { return seen.Name == run.Name })
		if !known && isOf(o.recurring, run) {
			o.runs = append(o.runs, unheard(*run))
		}
	}
	return nil
}

// unheard is a run that the cache has not heard of yet. How it ended is told when
// the cache knows: told now, it would seem to begin again at the next look.
func unheard(run v1alpha1.WorkspaceJob) v1alpha1.WorkspaceJob {
	run.Status = v1alpha1.WorkspaceJobStatus{}
	return run
}

// observeAnew reads the recurring job itself again where runs are to be made. A
// status that lags may not tell yet of a run that was there and was removed.
func (r *Reconciler) observeAnew(ctx context.Context, o *observed) error {
	if !anyDue(*o) {
		return nil
	}
	live := &v1alpha1.WorkspaceRecurringJob{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(o.recurring), live); err != nil {
		return fmt.Errorf("read the recurring job: %w", err)
	}
	if live.UID != o.recurring.UID {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("workspacerecurringjobs").GroupResource(), live.Name, errAnother)
	}
	o.recurring = live
	return nil
}

// errAnother: it was deleted and made anew.
var errAnother = errors.New("it is another one")

func anyDue(o observed) bool {
	return slices.ContainsFunc(occasionsOf(o), func(c occasion) bool { return fateOf(o, c) == fateDue })
}

// isOf: the run is of this recurring job, and not of an earlier one of its name.
func isOf(recurring *v1alpha1.WorkspaceRecurringJob, run *v1alpha1.WorkspaceJob) bool {
	return run.Series() == recurring.Name && (run.Spec.RecurringJobRef != nil || metav1.IsControlledBy(run, recurring))
}

// doubtful names runs that are not to be seen, and whose absence would have
// consequences: the status calls them unfinished, or their Jobs would be deleted.
func doubtful(o observed) []string {
	seen := map[string]bool{}
	for i := range o.runs {
		seen[o.runs[i].Name] = true
	}
	var names []string
	doubt := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, name := range o.recurring.Status.Active {
		doubt(name)
	}
	for _, c := range occasionsOf(o) {
		if nobodys(c, fateOf(o, c)) {
			doubt(c.name)
		}
	}
	return names
}

// cronJobOf is whatever has the CronJob's name; nil: nothing. The cache holds only
// what carries the operator's labels.
func (r *Reconciler) cronJobOf(ctx context.Context, recurring *v1alpha1.WorkspaceRecurringJob) (*batchv1.CronJob, error) {
	cronJob := &batchv1.CronJob{}
	key := client.ObjectKeyFromObject(recurring)
	err := r.Client.Get(ctx, key, cronJob)
	if apierrors.IsNotFound(err) {
		err = r.APIReader.Get(ctx, key, cronJob)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read CronJob %q: %w", key.Name, err)
	}
	return cronJob, nil
}
