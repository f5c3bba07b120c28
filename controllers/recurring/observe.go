package recurring

import (
	"context"
	"fmt"

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

// observe reads all that decide starts from. All of it comes from the cache, which may lag,
// except a CronJob without the operator's labels.
func (r *Reconciler) observe(ctx context.Context, recurring *v1alpha1.WorkspaceRecurringJob) (observed, error) {
	o := observed{now: r.Clock.Now(), recurring: recurring, fence: r.Fence}
	for _, read := range []func(context.Context, *observed) error{r.observeWorkspace, r.observeCronJob, r.observeRuns, r.observeAwaited} {
		if err := read(ctx, &o); err != nil {
			return o, err
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

// observeCronJob reads the CronJob and the Jobs that it controls.
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

// cronJobOf returns the CronJob that has the recurring job's name, or nil if there is
// none. The cache holds only what carries the operator's labels.
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

func (r *Reconciler) observeRuns(ctx context.Context, o *observed) error {
	var runs v1alpha1.WorkspaceJobList
	if err := r.Client.List(ctx, &runs, client.InNamespace(o.recurring.Namespace), client.MatchingFields{admission.IndexSeries: o.recurring.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the runs of %q: %w", o.recurring.Name, err)
	}
	for i := range runs.Items {
		if isRunOf(o.recurring, &runs.Items[i]) {
			o.runs = append(o.runs, runs.Items[i])
		}
	}
	return nil
}

func (r *Reconciler) observeAwaited(ctx context.Context, o *observed) error {
	for i := range o.runs {
		if !ended(&o.runs[i]) {
			continue
		}
		awaited, err := continuation.Awaited(ctx, r.Client, o.recurring.Namespace, o.runs[i].Name)
		if err != nil {
			return err
		}
		if awaited {
			o.awaited = append(o.awaited, o.runs[i].Name)
		}
	}
	return nil
}
