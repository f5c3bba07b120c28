package job

import (
	"testing"
	"time"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestKstatusVerdicts(t *testing.T) {
	t.Parallel()
	running := runnerjob.Observation{StartedAt: when(2)}
	cases := map[string]struct {
		o     observed
		state v1alpha1.JobState
		want  status.Status
	}{
		"scheduled":        {observed{job: makeJob().delay(time.Hour).obj()}, "Scheduled", status.InProgressStatus},
		"enqueued":         {observed{job: makeJob().obj()}, "Enqueued", status.InProgressStatus},
		"stalled":          {observed{job: makeJob().obj(), foreign: "it is taken"}, "Enqueued", status.FailedStatus},
		"processing":       {observed{job: makeJob().started(1, 1, 0).obj(), child: makeChild(1, 1), seen: running}, "Processing", status.InProgressStatus},
		"being cancelled":  {observed{job: makeJob().started(1, 1, 0).cancelled().obj(), child: makeChild(1, 1), seen: running}, "Processing", status.InProgressStatus},
		"between attempts": {observed{job: makeJob().started(1, 1, 0).obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})}, "Scheduled", status.InProgressStatus},
		"succeeded":        {observed{job: makeJob().started(1, 1, 0).obj(), child: makeChild(1, 1), seen: succeeded(5, "1")}, "Succeeded", status.CurrentStatus},
		"failed":           {observed{job: makeJob().retry(0).started(1, 1, 0).obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})}, "Failed", status.FailedStatus},
		"awaiting":         {observed{job: makeJob().after("a", "").obj(), parents: []parent{unfinished("a")}}, "Awaiting", status.InProgressStatus},
		"parent missing":   {observed{job: makeJob().after("a", "").obj(), parents: []parent{absent("a")}}, "Awaiting", status.InProgressStatus},
		"parent cycle":     {observed{job: makeJob().after("a", "").obj(), parents: []parent{unfinished("a")}, cycle: []string{"a"}}, "Awaiting", status.FailedStatus},
		"chain broken":     {observed{job: makeJob().after("a", "").obj(), parents: []parent{ended1("a", "", "Failed", 3)}}, "Deleted", status.CurrentStatus},
		"nothing to run":   {observed{job: makeJob().triggers("daily").obj()}, "Enqueued", status.FailedStatus},
		"replaced":         {observed{job: makeJob().obj(), replacedBy: "newer"}, "Deleted", status.CurrentStatus},
		"cancelled":        {observed{job: makeJob().cancelled().obj()}, "Deleted", status.CurrentStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			o.now, o.limits, o.workspace = at(6), Limits{Pending: time.Hour, Parent: time.Hour}, readyWorkspace()
			if got := testenv.Verdict(t, o.job); got != status.InProgressStatus {
				t.Errorf("before the operator has seen it: %s", got)
			}
			o.job.Status = decided(o).status
			if got := testenv.Verdict(t, o.job); got != c.want || o.job.Status.State != c.state {
				t.Errorf("%s is %s, want %s to be %s", o.job.Status.State, got, c.state, c.want)
			}
			o.job.Generation++
			if got := testenv.Verdict(t, o.job); got != status.InProgressStatus {
				t.Errorf("after a change that the operator has not seen: %s", got)
			}
		})
	}
}
