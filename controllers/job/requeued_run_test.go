package job

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestARequeuedRunReplacesAnOlderOne requeues a run that had finished while an older one
// waits for its next attempt. Only the change of the newer one can wake the older one.
func TestARequeuedRunReplacesAnOlderOne(t *testing.T) {
	t.Parallel()
	s := simulate(t, 1)
	for i, name := range []string{"old", "new"} {
		job := &v1alpha1.WorkspaceJob{ObjectMeta: metaOf(name)}
		job.Spec.RecurringJobRef = &v1alpha1.RecurringJobRef{Name: "series-Replace"}
		job.Status.Run, job.Status.EnqueuedAt, job.Status.State = 1, when(i), v1alpha1.StateEnqueued
		tmpl := template()
		job.Status.Template = &tmpl
		if name == "old" {
			job.Status.State, job.Status.RunAttempts, job.Status.NextAttemptAt = v1alpha1.StateScheduled, 1, when(10000)
			job.Status.Attempts = []v1alpha1.Attempt{{Number: 1, Run: 1, Job: "old-1", JobUID: "x", Outcome: v1alpha1.OutcomeFailed, CreatedAt: *when(0), FinishedAt: when(0)}}
		} else {
			job.Status.State, job.Status.FinishedAt = v1alpha1.StateSucceeded, when(1)
		}
		world.Add(s.w, job)
	}
	s.catchUp()
	s.w.Sleep(time.Minute)
	job, _ := world.Get[*v1alpha1.WorkspaceJob](s.w, key("new"))
	s.w.Change(job, func(object client.Object) {
		if job, ok := object.(*v1alpha1.WorkspaceJob); ok {
			job.Spec.RequeueAt = when(30)
		}
	})
	s.catchUp()
	old, _ := world.Get[*v1alpha1.WorkspaceJob](s.w, key("old"))
	if old.Status.State != v1alpha1.StateDeleted {
		t.Errorf("the older run is %s: %s", old.Status.State, old.Status.Message)
	}
}
