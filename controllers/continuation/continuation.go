// Package continuation finds the jobs that continue another one.
package continuation

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// indexParent holds WorkspaceJobs by the buckets of their parents.
const indexParent = "parent"

// buckets is how many the parents' names of a namespace fall into. The names themselves could
// be 32 new ones for each job, and the index would take more memory than the jobs.
const buckets = 256

// Index adds to the manager's cache the index that [Of] needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &v1alpha1.WorkspaceJob{}, indexParent, func(object client.Object) []string {
		job, ok := object.(*v1alpha1.WorkspaceJob)
		if !ok {
			return nil
		}
		var of []string
		for _, p := range job.Spec.After {
			of = append(of, bucket(p.Name))
		}
		slices.Sort(of)
		return slices.Compact(of)
	})
}

func bucket(parent string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(parent))
	return strconv.Itoa(int(hash.Sum32() % buckets))
}

// Of returns the continuations of the parent. They are the cache's: don't change them.
func Of(ctx context.Context, cache client.Reader, namespace, parent string) ([]v1alpha1.WorkspaceJob, error) {
	var list v1alpha1.WorkspaceJobList
	if err := cache.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{indexParent: bucket(parent)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the continuations of %q: %w", parent, err)
	}
	return slices.DeleteFunc(list.Items, func(job v1alpha1.WorkspaceJob) bool {
		return !slices.ContainsFunc(job.Spec.After, func(p v1alpha1.Parent) bool { return p.Name == parent })
	}), nil
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
		if Waits(status) && !SawEnd(status, parent) {
			return true, nil
		}
	}
	return false, nil
}

// Waits reports whether the parents of a continuation with this status still matter: its first
// run has neither begun nor ended.
func Waits(status *v1alpha1.WorkspaceJobStatus) bool {
	return status.Run <= 1 && status.EnqueuedAt == nil && !status.State.Final()
}

// SawEnd reports whether the status says how the parent ended. Another job that has the parent's
// name by now does not matter.
func SawEnd(status *v1alpha1.WorkspaceJobStatus, parent string) bool {
	return slices.ContainsFunc(status.Parents, func(seen v1alpha1.ParentStatus) bool { return seen.Name == parent })
}
