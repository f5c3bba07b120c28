package recurring

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// defaultHistory is the API's default.
const defaultHistory = 3

// trimHistory keeps the newest runs of each final state. Only runs that this recurring
// job controls are removed, and only once the status reports them.
func trimHistory(o observed, d *decision) {
	keep := map[v1alpha1.JobState]int{
		v1alpha1.StateSucceeded: limitOf(o, func(h *v1alpha1.History) *int32 { return h.Succeeded }),
		v1alpha1.StateFailed:    limitOf(o, func(h *v1alpha1.History) *int32 { return h.Failed }),
	}
	keep[v1alpha1.StateDeleted] = keep[v1alpha1.StateSucceeded]
	var own []*v1alpha1.WorkspaceJob
	for i := range o.runs {
		if run := &o.runs[i]; ended(run) && metav1.IsControlledBy(run, o.recurring) && !needed(o, d, run) {
			own = append(own, run)
		}
	}
	slices.SortFunc(own, func(a, b *v1alpha1.WorkspaceJob) int {
		return cmp.Or(b.Status.FinishedAt.Compare(a.Status.FinishedAt.Time), byAge(b, a))
	})
	for _, run := range own {
		if keep[run.Status.State]--; keep[run.Status.State] < 0 {
			d.removeRuns = append(d.removeRuns, *run.DeepCopy())
		}
	}
}

func limitOf(o observed, field func(*v1alpha1.History) *int32) int {
	if history := o.recurring.Spec.History; history != nil {
		if limit := field(history); limit != nil {
			return int(*limit)
		}
	}
	return defaultHistory
}

// needed reports whether a finished run must stay: the status does not report it yet, it is
// requeued, or a continuation has not seen its end.
func needed(o observed, d *decision, run *v1alpha1.WorkspaceJob) bool {
	if at, scheduled := run.ScheduledAt(); scheduled && at.After(reportedUntil(&d.status)) {
		return true
	}
	return !run.RequeuedAfter(run.Status.FinishedAt.Time).IsZero() || slices.Contains(o.awaited, run.Name)
}
