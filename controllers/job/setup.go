package job

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fairqueue"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// workers is how many WorkspaceJobs are reconciled at once.
const workers = 16

// SetupWithManager has the manager call r for everything that bears on a
// WorkspaceJob. The indexes of admission, continuation, runnerjob and
// workspace must be in place.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.written = newWritten()
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspacejob").
		For(&v1alpha1.WorkspaceJob{}).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(jobOfChild)).
		Watches(&v1alpha1.WorkspaceJob{}, r.onRelatives()).
		Watches(&v1alpha1.WorkspaceRecurringJob{}, handler.EnqueueRequestsFromMapFunc(r.runsOfRecurring), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Func(r.callOnTurn)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(jobOfChild)).
		Watches(&v1alpha1.Workspace{}, handler.EnqueueRequestsFromMapFunc(r.jobsOfWorkspace), builder.WithPredicates(becomesAble())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, NewQueue: fairqueue.New}).
		Complete(r)
}

// jobOfChild goes by labels: hints of whom to wake, nothing that is trusted. The Job
// that a schedule made has the name of its WorkspaceJob.
func jobOfChild(_ context.Context, child client.Object) []reconcile.Request {
	name := child.GetLabels()[v1alpha1.LabelJob]
	if name == "" && child.GetLabels()[v1alpha1.LabelRecurringJob] != "" {
		name = child.GetName()
	}
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: child.GetNamespace(), Name: name}}}
}

// callOnTurn lets the queues put a job on the controller's work queue.
func (r *Reconciler) callOnTurn(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.Queues.OnTurn(func(job types.NamespacedName) { queue.Add(reconcile.Request{NamespacedName: job}) })
	return nil
}

// jobsOfWorkspace are its jobs: they may have waited for it, or may go now.
func (r *Reconciler) jobsOfWorkspace(ctx context.Context, object client.Object) []reconcile.Request {
	ws, ok := object.(*v1alpha1.Workspace)
	if !ok {
		return nil
	}
	var jobs v1alpha1.WorkspaceJobList
	if err := r.Client.List(ctx, &jobs, client.InNamespace(ws.NamespaceName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list the jobs of a workspace", "workspace", ws.Name)
		return nil
	}
	var requests []reconcile.Request
	for i := range jobs.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
	}
	return requests
}

// becomesAble lets through what changes whether a workspace can take jobs, and not
// the counts in its status, which change all the time.
func becomesAble() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Workspace)
		after, also := e.ObjectNew.(*v1alpha1.Workspace)
		if !ok || !also {
			return false
		}
		return before.Status.Namespace != after.Status.Namespace ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			before.Limit() < after.Limit() || before.Spec.Suspend != after.Spec.Suspend ||
			!equality.Semantic.DeepEqual(before.Spec.Retention, after.Spec.Retention) ||
			workspace.Obstacle(before) != workspace.Obstacle(after)
	}}
}
