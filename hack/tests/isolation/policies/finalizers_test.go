package policies

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/hack/env/objects"
)

const finalizers = "workspace-jobs-finalizers"

// TestNoFinalizerKeepsAJob checks that nobody can keep a job, and so its namespace, from being
// deleted.
func TestNoFinalizerKeepsAJob(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("finalizers", image)
	const words = "jobs may have no finalizers"
	for _, made := range []client.Object{
		objects.MakeWorkspaceJob("kept").In(home).Obj(), objects.MakeWorkspaceRecurringJob("kept").In(home).Obj(),
	} {
		planted := copyOf(made)
		planted.SetFinalizers([]string{"example.net/keep"})
		c.refused("to create one with a finalizer", finalizers, words, c.admin.Create(c.Context(), planted, client.DryRunAll))
		for _, own := range []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents} {
			planted.SetFinalizers([]string{own})
			c.accepted("Kubernetes' "+own, c.admin.Create(c.Context(), copyOf(planted), client.DryRunAll))
		}
		c.make(made)
		keep := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":["example.net/keep"]}}`))
		c.refused("to add one", finalizers, "remove example.net/keep", c.admin.Patch(c.Context(), copyOf(made), keep, client.DryRunAll))
	}
}
