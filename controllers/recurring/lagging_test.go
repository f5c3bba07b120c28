package recurring

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// withoutRuns is a cache that has not been told of any WorkspaceJob yet.
type withoutRuns struct{ client.Client }

func (w withoutRuns) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.WorkspaceJobList); ok {
		return nil
	}
	return w.Client.List(ctx, list, options...)
}

// TestALaggingCacheTakesNoTickFromItsRun: the status tells of the run already, and the
// cache has not shown it: its Job is no leftover. A thousand runs in one minute met this.
func TestALaggingCacheTakesNoTickFromItsRun(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "lagging")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleInPlace)
	tick := c.fire("daily", time.Now().Add(time.Minute))
	c.run(tick.Name)
	c.waitUntil("daily", "its run is told", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.LastScheduledAt != nil })

	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	lagging := &Reconciler{
		Client: withoutRuns{operator.cached}, APIReader: c.Client, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{}, Metrics: metrics,
	}
	for range 3 {
		// An error is as good as a conflict here; what counts is what is left.
		_, _ = lagging.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: c.namespace, Name: "daily"}})
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(tick), &batchv1.Job{}); err != nil {
		t.Errorf("the run's Job: %v", err)
	}
	if active := c.get("daily").Status.Active; len(active) != 1 || active[0] != tick.Name {
		t.Errorf("the run is taken for gone: active are %v", active)
	}
}
