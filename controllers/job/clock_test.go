package job

import (
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// TestANodesClockDecidesNothing ends attempts on nodes whose clocks are wrong. A run that was
// requeued must not seem to have finished before that, or it would be requeued again.
func TestANodesClockDecidesNothing(t *testing.T) {
	t.Parallel()
	requeued := func() *v1alpha1.WorkspaceJob {
		return makeJob().Attempt(1, 1, at(0)).Failed(at(5)).RequeueAt(at(100)).Attempt(2, 2, at(100)).Obj()
	}
	for name, c := range map[string]struct {
		seen runnerjob.Observation
		want int // when the run finished
	}{
		"right":  {succeeded(110, "1"), 110},
		"behind": {succeeded(50, "1"), 100},
		"ahead":  {succeeded(900, "1"), 120},
	} {
		o := observed{job: requeued(), child: makeChild(2, 2), seen: c.seen, now: at(120), workspace: readyWorkspace()}
		status := decided(o).status
		if status.FinishedAt == nil || !status.FinishedAt.Time.Equal(at(c.want)) {
			t.Errorf("%s: finished at %v, want %v", name, status.FinishedAt, at(c.want))
		}
		o.job.Status, o.now = status, at(130)
		if again := decided(o); again.status.Run != 2 || again.start != nil {
			t.Errorf("%s: the job is requeued a second time, as run %d", name, again.status.Run)
		}
	}
	for name, c := range map[string]struct{ exit, want int }{
		// The attempt began at 10 s, 10 s after its run was due, and 10 s pass until the next one.
		"behind": {-500, 20},
		"ahead":  {900, 25},
	} {
		o := observed{
			job:   makeJob().Retries(3, 10*time.Second).Attempt(1, 1, at(10)).With(enqueued(0)).Obj(),
			child: makeChild(1, 1), seen: exited(1, c.exit, contract.Message{}), now: at(15), workspace: readyWorkspace(),
		}
		if next := decided(o).status.NextAttemptAt; next == nil || !next.Time.Equal(at(c.want)) {
			t.Errorf("%s: the next attempt is due at %v, want %v", name, next, at(c.want))
		}
	}
}
