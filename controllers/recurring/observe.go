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

// observe gathers all that decide needs.
func (r *Reconciler) observe(ctx context.Context, recurring *v1alpha1.WorkspaceRecurringJob) (observed, error) {
	o := observed{now: r.Clock.Now(), recurring: recurring}
	var err error
	if o.workspace, err = workspace.Of(ctx, r.Client, recurring.Namespace); err != nil {
		return o, err
	}
	if o.cronJob, err = r.cronJobOf(ctx, recurring); err != nil {
		return o, err
	}
	if o.cronJob != nil && !metav1.IsControlledBy(o.cronJob, recurring) {
		o.foreign, o.cronJob = o.cronJob, nil
	}
	var runs v1alpha1.WorkspaceJobList
	if err := r.Client.List(ctx, &runs, client.InNamespace(recurring.Namespace), client.MatchingFields{admission.IndexSeries: recurring.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return o, fmt.Errorf("list the runs of %q: %w", recurring.Name, err)
	}
	o.runs = runs.Items
	for i := range o.runs {
		awaited, err := continuation.Await(ctx, r.Client, recurring.Namespace, o.runs[i].Name)
		if err != nil {
			return o, err
		}
		if awaited {
			o.awaited = append(o.awaited, o.runs[i].Name)
		}
	}
	if o.cronJob == nil {
		return o, nil
	}
	var ticks batchv1.JobList
	if err := r.Client.List(ctx, &ticks, client.InNamespace(recurring.Namespace), client.MatchingFields{runnerjob.IndexOwner: string(o.cronJob.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return o, fmt.Errorf("list the Jobs of CronJob %q: %w", o.cronJob.Name, err)
	}
	for i := range ticks.Items {
		if metav1.IsControlledBy(&ticks.Items[i], o.cronJob) {
			o.ticks = append(o.ticks, ticks.Items[i])
		}
	}
	return o, r.findUnseen(ctx, &o)
}

// findUnseen asks the API server for runs that the status or a started tick tells of
// and the cache does not have: it may only lag, and a run must not be taken for gone.
func (r *Reconciler) findUnseen(ctx context.Context, o *observed) error {
	for _, name := range unseen(*o) {
		run := &v1alpha1.WorkspaceJob{}
		err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: o.recurring.Namespace, Name: name}, run)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read WorkspaceJob %q: %w", name, err)
		}
		if err == nil && run.Series() == o.recurring.Name {
			o.runs = append(o.runs, *run)
		}
	}
	return nil
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
