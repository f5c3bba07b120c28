package recurring

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fairqueue"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// workers is how many WorkspaceRecurringJobs are reconciled at once.
const workers = 8

// SetupWithManager registers r with the manager for every change that may concern a
// WorkspaceRecurringJob. The indexes of admission, continuation, runnerjob and workspace
// must be in place.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspacerecurringjob").
		For(&v1alpha1.WorkspaceRecurringJob{}).
		Owns(&batchv1.CronJob{}, builder.WithPredicates(edits())).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(labelled), builder.WithPredicates(comesOrGoes())).
		Watches(&v1alpha1.WorkspaceJob{}, handler.EnqueueRequestsFromMapFunc(seriesOf), builder.WithPredicates(ends())).
		Watches(&v1alpha1.Workspace{}, handler.EnqueueRequestsFromMapFunc(r.ofWorkspace), builder.WithPredicates(changes())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, NewQueue: fairqueue.New}).
		Complete(r)
}

// labelled returns the recurring job that the label names. Anybody can set the label, so it
// decides only what to reconcile.
func labelled(_ context.Context, object client.Object) []reconcile.Request {
	return named(object.GetNamespace(), object.GetLabels()[v1alpha1.LabelRecurringJob])
}

// seriesOf returns the recurring job that a WorkspaceJob is a run of.
func seriesOf(_ context.Context, object client.Object) []reconcile.Request {
	job, ok := object.(*v1alpha1.WorkspaceJob)
	if !ok {
		return nil
	}
	return named(job.Namespace, job.Series())
}

func named(namespace, name string) []reconcile.Request {
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// ofWorkspace returns the workspace's recurring jobs: their CronJobs may have to change.
func (r *Reconciler) ofWorkspace(ctx context.Context, object client.Object) []reconcile.Request {
	ws, ok := object.(*v1alpha1.Workspace)
	if !ok {
		return nil
	}
	var list v1alpha1.WorkspaceRecurringJobList
	if err := r.Client.List(ctx, &list, client.InNamespace(ws.NamespaceName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list the recurring jobs of a workspace", "workspace", ws.Name)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// edits lets through what somebody changes in a CronJob, but not its status, which
// Kubernetes writes whenever a Job comes or goes.
func edits() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences())
		},
	})
}

// comesOrGoes lets through only the creation and the deletion of a Job. Its updates concern
// its WorkspaceJob.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

// ends lets through the creation, the deletion, the end and the requeue of a run.
func ends() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.WorkspaceJob)
		after, also := e.ObjectNew.(*v1alpha1.WorkspaceJob)
		return ok && also && before.Status.State.Final() != after.Status.State.Final()
	}}
}

// changes lets through what may change the CronJobs of a workspace, but not the counts in
// its status, which change all the time.
func changes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Workspace)
		after, also := e.ObjectNew.(*v1alpha1.Workspace)
		return ok && also && (before.Generation != after.Generation || before.Status.Namespace != after.Status.Namespace ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() || workspace.Stalled(before) != workspace.Stalled(after))
	}}
}
