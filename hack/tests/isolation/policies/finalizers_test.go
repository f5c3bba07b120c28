package policies

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
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

// TestTheOperatorChangesOnlyItsFinalizerOfAWorkspace checks that a stolen token changes nothing
// that the platform wants.
func TestTheOperatorChangesOnlyItsFinalizerOfAWorkspace(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.workspace("own-finalizer", image)
	ws := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "own-finalizer"}}
	patch := func(text string) error {
		return c.operator.Patch(c.Context(), copyOf(ws), client.RawPatch(types.MergePatchType, []byte(text)), client.DryRunAll)
	}
	c.accepted("its finalizer", patch(`{"metadata":{"finalizers":["jobs.openradius.io/runners"]}}`))
	const policy, words = "workspace-jobs-operator-workspaces", "only the finalizer jobs.openradius.io/runners"
	for _, text := range []string{
		`{"spec":{"runner":{"image":"registry.example.net/miner:1"}}}`, `{"spec":{"concurrency":1000}}`,
		`{"metadata":{"finalizers":["jobs.openradius.io/runners","example.net/keep"]}}`,
		`{"metadata":{"labels":{"mine":"yes"}}}`, `{"metadata":{"annotations":{"mine":"yes"}}}`,
	} {
		c.refused("the operator's "+text, policy, words, patch(text))
	}
	// RBAC refuses these, too.
	unrestricted := c.unrestricted(testenv.ManagerUser)
	c.refused("to own one", policy, words, unrestricted.Patch(c.Context(), copyOf(ws), client.RawPatch(types.MergePatchType, []byte(
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Namespace","name":"default","uid":"1"}]}}`)), client.DryRunAll))
	c.refused("to create one", policy, words, unrestricted.Create(c.Context(), tenant("by-the-operator").Obj(), client.DryRunAll))
	c.refused("to delete one", policy, words, unrestricted.Delete(c.Context(), copyOf(ws), client.DryRunAll))
}
