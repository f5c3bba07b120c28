package workspace

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestRunnersStopBeforeTheirFencesGo deletes a Workspace while a job runs. As long as its pod
// is there, so is what isolates it.
func TestRunnersStopBeforeTheirFencesGo(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeNamespace("torn-down").For("torn-down").UIDless())
	ws := c.ready(MakeWorkspace("torn-down").Namespace("torn-down").Obj())
	pod := c.runnerIn(ws)
	deleted := time.Now()
	if err := c.Delete(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the pod is asked to stop", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && pod.DeletionTimestamp.IsZero() {
			err = errors.New("it runs on")
		}
		return err
	})
	testenv.Eventually(t, "the operator would have let the Workspace go", func(context.Context) error {
		if time.Since(deleted) < 2*minTeardown {
			return errors.New("not yet")
		}
		return nil
	})
	get := func(child child) error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: "torn-down", Name: child.name}, child.blank)
	}
	for _, child := range children(ws, "") {
		if err := get(child); child.wanted && err != nil {
			t.Errorf("the pod is still there, but not %s: %v", child.key(), err)
		}
	}
	if err := c.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	c.goes("the Workspace", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(ws), &v1alpha1.Workspace{}) })
	for _, child := range children(ws, "") {
		c.goes(child.key(), func() error { return get(child) })
	}
}

// runnerIn returns the pod of a job that runs on a node.
func (c *clusterT) runnerIn(ws *v1alpha1.Workspace) *corev1.Pod {
	c.t.Helper()
	job := objects.MakeWorkspaceJob("runs").In(ws.NamespaceName()).Obj()
	c.create(job)
	spec := runnerjob.Run(ws, job.Template())
	spec.Name, spec.Owner = "runs-1", *metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind("WorkspaceJob"))
	attempt := runnerjob.Build(ws, spec)
	if err := c.Create(c.t.Context(), attempt); err != nil {
		c.t.Fatal(err)
	}
	pod := c.env.PodOf(c.t, attempt)
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "anywhere"},
	}
	if err := c.SubResource("binding").Create(c.t.Context(), pod, binding); err != nil {
		c.t.Fatal(err)
	}
	if err := c.Get(c.t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		c.t.Fatal(err)
	}
	c.env.RunPod(c.t, pod)
	return pod
}
