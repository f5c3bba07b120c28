package job

import (
	"errors"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestAJobThatAQuotaHoldsBackDoesNotStartInASuspendedQueue has a job that got its slot before
// the queue was suspended, and that the API server takes only after that.
func TestAJobThatAQuotaHoldsBackDoesNotStartInASuspendedQueue(t *testing.T) {
	t.Parallel()
	s := simulate(t, 1)
	s.mortal = false
	full := true
	s.refused = func(client.Object) error {
		if !full {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "held", errors.New("exceeded quota: jobs"))
	}
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metaOf("held")}
	job.Spec.JobTemplate = template()
	world.Add(s.w, job)
	s.catchUp()
	s.changeWorkspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Suspend = true })
	full = false
	s.catchUp()
	s.wantHeld("held", v1alpha1.ReasonQueueSuspended)
	s.changeWorkspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Suspend = false })
	s.catchUp()
	if jobs := world.All[*batchv1.Job](s.w); len(jobs) != 1 {
		t.Errorf("there are %d Jobs after the queue was resumed", len(jobs))
	}
}

// wantHeld checks that a job waits for a reason, and has no Job.
func (s *simulation) wantHeld(name, reason string) {
	s.Helper()
	job, _ := world.Get[*v1alpha1.WorkspaceJob](s.w, key(name))
	if got := report.Reason(job.Status.Conditions); got != reason {
		s.Errorf("%s waits for the reason %s, want %s: %s", name, got, reason, job.Status.Message)
	}
	if jobs := world.All[*batchv1.Job](s.w); len(jobs) > 0 {
		s.Errorf("%s was started: %s", name, jobs[0].Name)
	}
}
