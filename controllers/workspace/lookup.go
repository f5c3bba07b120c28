package workspace

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// indexNamespace holds Workspaces by the namespace that each has or wants.
const indexNamespace = "namespaceName"

// Index adds to the manager's cache the index that [Of] and [Coming] need.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &v1alpha1.Workspace{}, indexNamespace, func(object client.Object) []string {
		ws, ok := object.(*v1alpha1.Workspace)
		if !ok {
			return nil
		}
		return []string{ws.NamespaceName()}
	})
}

// Of returns the workspace that holds the namespace; nil if there is none yet.
func Of(ctx context.Context, cache client.Reader, namespace string) (*v1alpha1.Workspace, error) {
	return find(ctx, cache, namespace, func(ws *v1alpha1.Workspace) bool { return ws.Status.Namespace == namespace })
}

// Coming returns the workspace that is about to hold the namespace; nil if there is none.
func Coming(ctx context.Context, cache client.Reader, namespace string) (*v1alpha1.Workspace, error) {
	return find(ctx, cache, namespace, func(ws *v1alpha1.Workspace) bool { return ws.Status.Namespace == "" && !Stalled(ws) })
}

func find(ctx context.Context, cache client.Reader, namespace string, wanted func(*v1alpha1.Workspace) bool) (*v1alpha1.Workspace, error) {
	var list v1alpha1.WorkspaceList
	if err := cache.List(ctx, &list, client.MatchingFields{indexNamespace: namespace}); err != nil {
		return nil, fmt.Errorf("find the workspace of namespace %q: %w", namespace, err)
	}
	for i := range list.Items {
		if wanted(&list.Items[i]) {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// Stalled reports whether the workspace waits for a person.
func Stalled(ws *v1alpha1.Workspace) bool {
	return meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionStalled)
}

// Obstacle returns why the workspace can't run a job now, or "" if it can. Before any of its
// code runs, its network policies, quota and ledger must be as its current spec says.
func Obstacle(ws *v1alpha1.Workspace) string {
	if !ws.DeletionTimestamp.IsZero() {
		return fmt.Sprintf("workspace %q is being deleted", ws.Name)
	}
	ready := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.ObservedGeneration == ws.Generation {
		if ready.Status == metav1.ConditionTrue {
			return ""
		}
		return fmt.Sprintf("workspace %q can't run jobs yet (%s): %s", ws.Name, ready.Reason, ready.Message)
	}
	if busy := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReconciling); busy != nil {
		return fmt.Sprintf("workspace %q is being set up (%s): %s", ws.Name, busy.Reason, busy.Message)
	}
	return fmt.Sprintf("workspace %q is being set up", ws.Name)
}
