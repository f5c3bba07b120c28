package job

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/continuation"
)

// requests is a controller's work queue.
type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// onRelatives wakes the jobs that a change of another one may concern: its
// continuations, its parents (which may go once their end was seen), and the other
// runs of its recurring job.
func (r *Reconciler) onRelatives() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q requests) { r.wakeContinuations(ctx, e.Object, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q requests) {
			r.wakeContinuations(ctx, e.Object, q)
			r.wakeSeries(ctx, e.Object, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q requests) {
			before, ok := e.ObjectOld.(*v1alpha1.WorkspaceJob)
			after, also := e.ObjectNew.(*v1alpha1.WorkspaceJob)
			if !ok || !also {
				return
			}
			if before.Status.State.Final() != after.Status.State.Final() {
				r.wakeContinuations(ctx, after, q)
				r.wakeSeries(ctx, after, q)
				wakeParents(after, q)
			}
			if (before.Status.EnqueuedAt == nil) != (after.Status.EnqueuedAt == nil) {
				r.wakeSeries(ctx, after, q)
			}
			if len(before.Status.Parents) != len(after.Status.Parents) {
				wakeParents(after, q)
			}
		},
	}
}

func (r *Reconciler) wakeContinuations(ctx context.Context, parent client.Object, q requests) {
	children, err := continuation.Of(ctx, r.Client, parent.GetNamespace(), parent.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the continuations of a job", "job", client.ObjectKeyFromObject(parent))
		return
	}
	addUnfinished(children, q)
}

func (r *Reconciler) wakeSeries(ctx context.Context, object client.Object, q requests) {
	job, ok := object.(*v1alpha1.WorkspaceJob)
	if !ok || job.Series() == "" {
		return
	}
	runs, err := r.seriesNamed(ctx, job.Namespace, job.Series())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the other runs of a recurring job", "job", client.ObjectKeyFromObject(job))
		return
	}
	addUnfinished(runs, q)
}

func (r *Reconciler) seriesNamed(ctx context.Context, namespace, series string) ([]v1alpha1.WorkspaceJob, error) {
	var runs v1alpha1.WorkspaceJobList
	err := r.Client.List(ctx, &runs, client.InNamespace(namespace), client.MatchingFields{admission.IndexSeries: series}, client.UnsafeDisableDeepCopy)
	return runs.Items, err
}

func wakeParents(job *v1alpha1.WorkspaceJob, q requests) {
	for _, p := range job.Spec.After {
		q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: job.Namespace, Name: p.Name}})
	}
}

func addUnfinished(jobs []v1alpha1.WorkspaceJob, q requests) {
	for i := range jobs {
		if !jobs[i].Status.State.Final() {
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs[i])})
		}
	}
}

// runsOfRecurring are the unfinished runs of a recurring job that is new or has
// changed.
func (r *Reconciler) runsOfRecurring(ctx context.Context, recurring client.Object) []reconcile.Request {
	runs, err := r.seriesNamed(ctx, recurring.GetNamespace(), recurring.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the runs of a recurring job", "recurringJob", client.ObjectKeyFromObject(recurring))
		return nil
	}
	var woken []reconcile.Request
	for i := range runs {
		if !runs[i].Status.State.Final() {
			woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&runs[i])})
		}
	}
	return woken
}
