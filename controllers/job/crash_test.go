package job

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// laggingClient reads the job as it was when the client was made, and none of its Jobs.
type laggingClient struct {
	client.Client
	job *v1alpha1.WorkspaceJob
}

func (l *laggingClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	switch typed := object.(type) {
	case *v1alpha1.WorkspaceJob:
		l.job.DeepCopyInto(typed)
		return nil
	case *batchv1.Job:
		// As if the watch had not reported it yet.
		key.Name = "not-in-the-cache"
	}
	return l.Client.Get(ctx, key, object, options...)
}

// restarted returns the reconciler of a process that has just started, with c as its cache.
func restarted(c client.Client) *Reconciler {
	options := operator.reconciler.Options
	options.Client = c
	options.Reporter = report.New(c, operator.events, options.Clock)
	return New(options)
}

// TestALaggingCacheStartsNothingTwice has the reconciler see, again and again, the
// job as it was before anything happened, and none of its Jobs.
func TestALaggingCacheStartsNothingTwice(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "lagging")
	c.submit("nightly", nil)
	first := c.get("nightly")
	first.Status = v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1}
	c.end("nightly", 1, 0, `{"result":1}`)
	done := c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)

	lagging := restarted(&laggingClient{Client: operator.reconciler.Client, job: first})
	for range 5 {
		// Any error is as acceptable as a conflict here. What counts is the result.
		_, _ = lagging.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(first)})
	}
	if n := c.jobs(); n != 1 {
		t.Errorf("%d Jobs for one attempt", n)
	}
	// The operator itself, whose cache is not stale, would correct the status.
	if now := c.get("nightly"); now.ResourceVersion != done.ResourceVersion {
		t.Errorf("a stale cache changed the status, which is now %+v", now.Status)
	}
}
