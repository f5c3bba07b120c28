package workspace

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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

// workers is how many Workspaces are reconciled at once.
const workers = 4

// SetupWithManager registers r with the manager for every change that may concern a
// Workspace, including edits of its children by others. The index of runnerjob must be in
// place.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspace").
		For(&v1alpha1.Workspace{}, builder.WithPredicates(exceptCounts())).
		Owns(&corev1.ServiceAccount{}).
		Owns(&corev1.ResourceQuota{}, builder.WithPredicates(exceptUsage())).
		Owns(&corev1.LimitRange{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&rbacv1.RoleBinding{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(labelledWorkspace)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(labelledWorkspace), builder.WithPredicates(ofMigrations())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

// labelledWorkspace returns the Workspace that the label names. Anybody can set the label, so
// it decides only what to reconcile.
func labelledWorkspace(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[v1alpha1.LabelWorkspace]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
}

// exceptCounts leaves out what the [Counter] writes. Any other change of the status triggers
// a reconcile, so that an edit is undone.
func exceptCounts() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Workspace)
		after, also := e.ObjectNew.(*v1alpha1.Workspace)
		if !ok || !also {
			return false
		}
		return before.Generation != after.Generation ||
			!equality.Semantic.DeepEqual(withoutCounts(before.Status), withoutCounts(after.Status))
	}}
}

// exceptUsage leaves out a quota's counts, which change with every pod that comes and goes.
// It lets the first count through, which changes status.hard.
func exceptUsage() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.ResourceQuota)
		after, also := e.ObjectNew.(*corev1.ResourceQuota)
		return ok && also && (!equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			!equality.Semantic.DeepEqual(before.Status.Hard, after.Status.Hard) ||
			!equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
			!equality.Semantic.DeepEqual(before.OwnerReferences, after.OwnerReferences))
	}}
}

func ofMigrations() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetLabels()[labelComponent] == ledgerMigration
	})
}
