package job

import (
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
)

// TestATickThatWaitedLongHasTimeToStart checks that the time limit for a pod's start counts
// from the moment the tick was started. The Job controller notes that time in status.startTime a
// little later.
func TestATickThatWaitedLongHasTimeToStart(t *testing.T) {
	t.Parallel()
	waited := 3600
	tick := suspendedChild(1)
	tick.Name = "nightly"
	o := observed{
		job: makeJob().With(scheduled(0)).Obj(), tick: tick, queue: waiting, slot: &admission.Answer{Admitted: true},
		workspace: readyWorkspace(), limits: Limits{Pending: 10 * time.Minute}, now: at(waited),
	}
	d := decide(o)
	if d.start == nil {
		t.Fatalf("it does not start: %+v", d.status)
	}
	o.made, o.tick = released(tick, o.job, *d.start), nil
	d = decide(o)
	if current := d.status.UnderWay(); current == nil || !current.CreatedAt.Equal(when(waited)) {
		t.Errorf("the attempt under way is %+v, want it since %s", current, at(waited))
	}
	o.job.Status, o.child, o.made, o.now = d.status, o.made, nil, at(waited+1)
	if d = decide(o); d.stop != nil || d.status.State != v1alpha1.StateEnqueued {
		t.Errorf("it is given up: %s: %s", d.status.State, d.status.Message)
	}
	// The operator may have died before it wrote the status.
	o.job = makeJob().With(scheduled(0)).Obj()
	if d = decide(o); d.stop != nil {
		t.Errorf("it is given up after a crash: %s: %s", d.status.State, d.status.Message)
	}
	o.child.Status.StartTime = when(waited)
	if d = decide(o); !d.status.UnderWay().CreatedAt.Equal(when(waited)) {
		t.Errorf("the attempt is since %s, want what the Job controller noted", d.status.UnderWay().CreatedAt)
	}
}
