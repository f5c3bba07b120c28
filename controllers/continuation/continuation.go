// Package continuation finds the jobs that continue another one.
package continuation

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// indexParent holds WorkspaceJobs by the names of their parents.
const indexParent = "parent"

// Index adds to the manager's cache the index that [Of] needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &v1alpha1.WorkspaceJob{}, indexParent, func(object client.Object) []string {
		job, ok := object.(*v1alpha1.WorkspaceJob)
		if !ok {
			return nil
		}
		var names []string
		for _, p := range job.Spec.After {
			names = append(names, p.Name)
		}
		return names
	})
}

// Of returns the continuations of the parent. They belong to the cache: don't change them.
func Of(ctx context.Context, cache client.Reader, namespace, parent string) ([]v1alpha1.WorkspaceJob, error) {
	var list v1alpha1.WorkspaceJobList
	if err := cache.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{indexParent: parent}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the continuations of %q: %w", parent, err)
	}
	return list.Items, nil
}

// Awaited reports whether a continuation has not seen yet how the parent ended. Until it has,
// the parent must not be deleted.
func Awaited(ctx context.Context, cache client.Reader, namespace, parent string) (bool, error) {
	children, err := Of(ctx, cache, namespace, parent)
	if err != nil {
		return false, err
	}
	for i := range children {
		status := &children[i].Status
		seen := status.EnqueuedAt != nil || status.State.Final()
		for _, p := range status.Parents {
			seen = seen || p.Name == parent
		}
		if !seen {
			return true, nil
		}
	}
	return false, nil
}
