package job

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

// workers is how many WorkspaceJobs are reconciled at once.
const workers = 16

// SetupWithManager has the manager call r for everything that bears on a
// WorkspaceJob.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &corev1.Pod{}, indexPodOwner, controllerUID); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Workspace{}, indexWorkspaceNamespace, namespaceName); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspacejob").
		For(&v1alpha1.WorkspaceJob{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(jobOfPod)).
		Watches(&v1alpha1.Workspace{}, handler.EnqueueRequestsFromMapFunc(r.jobsOfWorkspace), builder.WithPredicates(becomesAble())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

func controllerUID(object client.Object) []string {
	if owner := metav1.GetControllerOf(object); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

func namespaceName(object client.Object) []string {
	ws, ok := object.(*v1alpha1.Workspace)
	if !ok {
		return nil
	}
	return []string{ws.NamespaceName()}
}

// jobOfPod goes by a label: a hint of whom to wake, nothing that is trusted.
func jobOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.LabelJob]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// jobsOfWorkspace are the jobs that may have waited for the workspace.
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
		if !jobs.Items[i].Status.State.Final() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
		}
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
			workspaceObstacle(before) != workspaceObstacle(after)
	}}
}
