package job

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// parent is a job that this one waits for, in its current state.
type parent struct {
	v1alpha1.Parent
	// found means that it exists.
	found      bool
	state      v1alpha1.JobState
	finishedAt *metav1.Time
}

func (p parent) ended() bool { return p.found && p.state.Final() && p.finishedAt != nil }

// asWanted reports whether the parent has ended in the way that the continuation waits for.
func (p parent) asWanted() bool {
	return p.When == v1alpha1.AfterFinished || string(p.state) == string(wanted(p.When))
}

func wanted(on v1alpha1.ParentOutcome) v1alpha1.ParentOutcome {
	if on == "" {
		return v1alpha1.AfterSucceeded
	}
	return on
}

// awaiting reports whether the job's parents still matter.
func awaiting(o observed, d *decision) bool {
	return len(o.job.Spec.After) > 0 && continuation.Waits(&d.status)
}

// noteParents records in the status which parents have ended as wanted, because they may
// be requeued or deleted afterwards.
func noteParents(o observed, d *decision) {
	if !awaiting(o, d) {
		return
	}
	for _, p := range o.parents {
		if p.ended() && p.asWanted() && !continuation.SawEnd(&d.status, p.Name) {
			d.status.Parents = append(d.status.Parents, v1alpha1.ParentStatus{Name: p.Name, State: p.state, FinishedAt: *p.finishedAt})
		}
	}
}

// awaitParents reports whether a continuation can't run yet, or never can.
func awaitParents(o observed, d *decision) bool {
	if !awaiting(o, d) {
		return false
	}
	var missing, unfinished []string
	for _, p := range o.parents {
		switch {
		case continuation.SawEnd(&d.status, p.Name):
		case !p.found:
			missing = append(missing, p.Name)
		case !p.ended():
			unfinished = append(unfinished, p.Name)
		default:
			finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonParentEnded,
				fmt.Sprintf("parent %q is %s, and this job runs only if it is %s", p.Name, p.state, wanted(p.When)), o.now)
			return true
		}
	}
	return waitsForParents(o, d, missing, unfinished)
}

func waitsForParents(o observed, d *decision, missing, unfinished []string) bool {
	switch {
	case len(o.cycle) > 0:
		stall(&d.status, v1alpha1.StateAwaiting, v1alpha1.ReasonParentCycle,
			fmt.Sprintf("it would wait for itself: %s; delete one of these jobs", strings.Join(o.cycle, " after ")), o.now)
	case len(missing) > 0:
		limit := o.job.CreationTimestamp.Add(o.limits.Parent)
		if !o.now.Before(limit) {
			finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonParentMissing,
				fmt.Sprintf("parent %q does not exist, %s after this job was created", missing[0], o.limits.Parent), o.now)
			return true
		}
		d.recheck(limit.Sub(o.now))
		enter(&d.status, v1alpha1.StateAwaiting, v1alpha1.ReasonParentMissing,
			fmt.Sprintf("parent %s does not exist; it may be created until %s", report.Listed(missing), stamp(limit)), o.now)
	case len(unfinished) > 0:
		enter(&d.status, v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents,
			fmt.Sprintf("waits until %s has finished", report.Listed(unfinished)), o.now)
	default:
		return false
	}
	return true
}
