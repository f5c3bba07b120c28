package job

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestADeletedJobStopsThoughAFinalizerKeepsIt checks that nothing of a deleted job keeps
// running, however long somebody's finalizer keeps the object.
func TestADeletedJobStopsThoughAFinalizerKeepsIt(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "kept")
	job := objects.MakeWorkspaceJob("kept").In(c.namespace).Obj()
	job.Finalizers = []string{"example.net/keep"}
	c.create(job)
	child := c.attempt("kept", 1)
	pod := c.env.PodOf(t, child)
	c.env.RunPod(t, pod)
	c.waitFor("kept", v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	if err := c.Delete(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(c, "the pod is asked to stop, and its Job goes", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && pod.DeletionTimestamp.IsZero() {
			return errors.New("the pod still runs")
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err := c.Get(ctx, client.ObjectKeyFromObject(child), child); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the Job still exists"), err)
		}
		return nil
	})
	kept := c.get("kept")
	before := kept.DeepCopy()
	kept.Finalizers = nil
	if err := c.Patch(t.Context(), kept, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// TestAnOrphanedAttemptStays checks that --cascade=orphan keeps the Job, as asked.
func TestAnOrphanedAttemptStays(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "orphaned")
	c.submit("orphaned", nil)
	child := c.attempt("orphaned", 1)
	if err := c.Delete(t.Context(), c.get("orphaned"), client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(c, "the WorkspaceJob is gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: "orphaned"}, &v1alpha1.WorkspaceJob{})
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is not"), err)
		}
		return nil
	})
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(child), child); err != nil || !child.DeletionTimestamp.IsZero() {
		t.Errorf("its Job is gone: %v", err)
	}
}
