package recurring

import (
	"cmp"
	"slices"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// account reports how the runs ended. Each is counted once: in the write that removes it
// from status.active or, if it was never in there, in the write that moves
// status.lastScheduledAt past it.
func account(o observed, d *decision) {
	was := map[string]bool{}
	for _, name := range o.recurring.Status.Active {
		was[name] = true
	}
	runs := make([]*v1alpha1.WorkspaceJob, 0, len(o.runs)+len(d.create))
	for i := range o.runs {
		runs = append(runs, &o.runs[i])
	}
	for i := range d.create {
		runs = append(runs, &d.create[i])
	}
	slices.SortFunc(runs, byAge)
	var active []string
	var finished []*v1alpha1.WorkspaceJob
	for _, run := range runs {
		switch {
		case !ended(run):
			active = append(active, run.Name)
		case was[run.Name] || d.reported[run.Name] || isBrief(o, run):
			finished = append(finished, run)
		}
	}
	d.status.Active = active[:min(len(active), maxActive)]
	slices.SortStableFunc(finished, func(a, b *v1alpha1.WorkspaceJob) int { return a.Status.FinishedAt.Compare(b.Status.FinishedAt.Time) })
	for _, run := range finished {
		count(d, run)
	}
}

// isBrief reports whether a run that no schedule created was created and ended between two
// reconciles. A run that ended no later than status.lastRun may have been counted already.
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
	// A run that is being created has no time yet, and is the youngest.
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

// count counts a run that has ended.
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

// skipped reports whether the overlap policy ended the run before it had begun.
func skipped(run *v1alpha1.WorkspaceJob) bool {
	if run.Status.State != v1alpha1.StateDeleted {
		return false
	}
	switch report.Reason(run.Status.Conditions) {
	case v1alpha1.ReasonSkipped, v1alpha1.ReasonRunQueueFull:
		return true
	case v1alpha1.ReasonReplaced:
		return run.Status.StartedAt == nil
	default:
		return false
	}
}
