package recurring

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

const (
	// maxActive is how many unfinished runs the status names.
	maxActive = 1000
	// Defaults of the API.
	defaultHistory = 3
)

// account tells what became of the runs. Each counts once: in the write that takes
// it out of status.active or, if it was never in there, in the one that moves
// status.lastScheduledAt past it.
func account(o observed, d *decision) {
	was := map[string]bool{}
	for _, name := range o.recurring.Status.Active {
		was[name] = true
	}
	runs := make([]*v1alpha1.WorkspaceJob, 0, len(o.runs)+len(d.adopt))
	for i := range o.runs {
		runs = append(runs, &o.runs[i])
	}
	for i := range d.adopt {
		runs = append(runs, &d.adopt[i])
	}
	slices.SortFunc(runs, byAge)
	var active []string
	var finished []*v1alpha1.WorkspaceJob
	for _, run := range runs {
		switch {
		case !ended(run):
			active = append(active, run.Name)
		case was[run.Name] || d.told[run.Name] || isBrief(o, run):
			finished = append(finished, run)
		}
	}
	d.status.Active = active[:min(len(active), maxActive)]
	slices.SortStableFunc(finished, func(a, b *v1alpha1.WorkspaceJob) int { return a.Status.FinishedAt.Compare(b.Status.FinishedAt.Time) })
	for _, run := range finished {
		count(d, run)
	}
}

// isBrief: a run that no schedule made came and ended between two looks. One that
// ended no later than the last run that is told of may have been told of itself.
func isBrief(o observed, run *v1alpha1.WorkspaceJob) bool {
	if _, scheduled := run.ScheduledAt(); scheduled || run.CreationTimestamp.Before(&o.recurring.CreationTimestamp) {
		return false
	}
	last := o.recurring.Status.LastRun
	return last == nil || last.FinishedAt.Before(run.Status.FinishedAt)
}

func unfinishedOf(o observed) int {
	n := 0
	for i := range o.runs {
		if !ended(&o.runs[i]) {
			n++
		}
	}
	return n
}

func byAge(a, b *v1alpha1.WorkspaceJob) int {
	// One that is being made has no time yet, and is the youngest.
	if a.CreationTimestamp.IsZero() != b.CreationTimestamp.IsZero() {
		if a.CreationTimestamp.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func ended(run *v1alpha1.WorkspaceJob) bool {
	return run.Status.State.Final() && run.Status.FinishedAt != nil
}

// count a run that has ended.
func count(d *decision, run *v1alpha1.WorkspaceJob) {
	if _, scheduled := run.ScheduledAt(); skipped(run) {
		if scheduled {
			d.status.SkippedRuns++
			d.skipped = append(d.skipped, run.Name)
		}
		return
	}
	at := *run.Status.FinishedAt
	switch run.Status.State {
	case v1alpha1.StateSucceeded:
		d.status.ConsecutiveFailures = 0
		if d.status.LastSucceededAt == nil || d.status.LastSucceededAt.Before(&at) {
			d.status.LastSucceededAt = &at
		}
	case v1alpha1.StateFailed:
		if d.status.LastSucceededAt == nil || !at.Before(d.status.LastSucceededAt) {
			d.status.ConsecutiveFailures++
		}
	}
	if d.status.LastRun == nil || !at.Before(&d.status.LastRun.FinishedAt) {
		d.status.LastRun = &v1alpha1.LastRun{Name: run.Name, State: run.Status.State, FinishedAt: at}
	}
}

// skipped: the overlap policy ended the run before it had begun.
func skipped(run *v1alpha1.WorkspaceJob) bool {
	if run.Status.State != v1alpha1.StateDeleted {
		return false
	}
	switch conditions.Reason(run.Status.Conditions) {
	case v1alpha1.ReasonSkipped, v1alpha1.ReasonRunQueueFull:
		return true
	case v1alpha1.ReasonReplaced:
		return run.Status.StartedAt == nil
	default:
		return false
	}
}

// trim the history: of each final state the newest runs stay. Only what is this
// recurring job's own goes, and what the status has told of.
func trim(o observed, d *decision) {
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

// needed: the status doesn't tell of it yet, or somebody has asked for it to run
// again, or continues it.
func needed(o observed, d *decision, run *v1alpha1.WorkspaceJob) bool {
	if at, scheduled := run.ScheduledAt(); scheduled && at.After(toldOf(&d.status)) {
		return true
	}
	again := run.Spec.RequeueAt
	return again != nil && !run.Spec.Cancelled && run.Status.FinishedAt.Before(again) || slices.Contains(o.awaited, run.Name)
}
