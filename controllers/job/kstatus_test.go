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

func TestKstatus(t *testing.T) {
	t.Parallel()
	running := runnerjob.Observation{StartedAt: when(2)}
	cases := map[string]struct {
		o     observed
		state v1alpha1.JobState
		want  status.Status
	}{
		"scheduled":        {observed{job: makeJob().Delay(time.Hour).Obj()}, "Scheduled", status.InProgressStatus},
		"enqueued":         {observed{job: makeJob().Obj()}, "Enqueued", status.InProgressStatus},
		"stalled":          {observed{job: makeJob().Obj(), foreign: "it is taken"}, "Enqueued", status.FailedStatus},
		"processing":       {observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: running}, "Processing", status.InProgressStatus},
		"being cancelled":  {observed{job: makeJob().Attempt(1, 1, at(0)).Cancelled().Obj(), child: makeChild(1, 1), seen: running}, "Processing", status.InProgressStatus},
		"between attempts": {observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})}, "Scheduled", status.InProgressStatus},
		"succeeded":        {observed{job: makeJob().Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: succeeded(5, "1")}, "Succeeded", status.CurrentStatus},
		"failed":           {observed{job: makeJob().Retries(0, 10*time.Second).Backoff(3, time.Minute).Attempt(1, 1, at(0)).Obj(), child: makeChild(1, 1), seen: exited(1, 5, contract.Message{})}, "Failed", status.FailedStatus},
		"awaiting":         {observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{unfinished("a")}}, "Awaiting", status.InProgressStatus},
		"parent missing":   {observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{absent("a")}}, "Awaiting", status.InProgressStatus},
		"parent cycle":     {observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{unfinished("a")}, cycle: []string{"a"}}, "Awaiting", status.FailedStatus},
		"chain broken":     {observed{job: makeJob().AfterOutcome("", "a").Obj(), parents: []parent{ended1("a", "", "Failed", 3)}}, "Deleted", status.CurrentStatus},
		"nothing to run":   {observed{job: makeJob().Trigger("daily").Obj()}, "Enqueued", status.FailedStatus},
		"replaced":         {observed{job: makeJob().Obj(), replacedBy: "newer"}, "Deleted", status.CurrentStatus},
		"cancelled":        {observed{job: makeJob().Cancelled().Obj()}, "Deleted", status.CurrentStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			o.now, o.limits, o.workspace = at(6), Limits{Pending: time.Hour, Parent: time.Hour}, readyWorkspace()
			if got := testenv.Kstatus(t, o.job); got != status.InProgressStatus {
				t.Errorf("before the operator has seen it: %s", got)
			}
			o.job.Status = decided(o).status
			if got := testenv.Kstatus(t, o.job); got != c.want || o.job.Status.State != c.state {
				t.Errorf("%s is %s, want %s to be %s", o.job.Status.State, got, c.state, c.want)
			}
			o.job.Generation++
			if got := testenv.Kstatus(t, o.job); got != status.InProgressStatus {
				t.Errorf("after a change that the operator has not seen: %s", got)
			}
		})
	}
}
