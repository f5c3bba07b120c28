package job

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestARunWakesFewOthers: a recurring job may have ten thousand unfinished runs, and a change
// of each wakes others.
func TestARunWakesFewOthers(t *testing.T) {
	t.Parallel()
	const n = 200
	for policy, want := range map[v1alpha1.ConcurrencyPolicy]int{
		v1alpha1.PolicyAllow: 0, v1alpha1.PolicyForbid: wokenAtOnce, v1alpha1.PolicyReplace: wokenAtOnce, v1alpha1.PolicyQueue: wokenAtOnce,
	} {
		s := simulate(t, 1)
		series := "series-" + string(policy)
		for i := range n {
			job := &v1alpha1.WorkspaceJob{ObjectMeta: metaOf(fmt.Sprintf("run-%03d", i))}
			job.Spec.RecurringJobRef = &v1alpha1.RecurringJobRef{Name: series}
			job.Status.State, job.Status.EnqueuedAt = v1alpha1.StateEnqueued, when(n-i)
			if i == n/2 {
				job.Status.RunAttempts = 1
			}
			world.Add(s.w, job)
		}
		changes := s.w.HearAll("WorkspaceJob")
		before := changes[0].New.DeepCopyObject().(*v1alpha1.WorkspaceJob) //nolint:forcetypeassert // they are jobs
		before.Status.EnqueuedAt = nil
		clear(s.work)
		s.r.onRelatives().Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: changes[0].New}, &woken{work: s.work})
		if len(s.work) != want {
			t.Errorf("%s: %d of %d are woken, want %d", policy, len(s.work), n, want)
		}
		if want > 0 && (!s.work["run-100"] || !s.work["run-199"] || s.work["run-000"]) {
			t.Errorf("%s: not those that act first: %v", policy, s.work)
		}
	}
}
