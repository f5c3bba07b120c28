package recurring

import (
	"cmp"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

const (
	// skew is how far the clock that wrote a run's time may be ahead.
	skew = time.Minute
	// maxActive is how many unfinished runs the status names.
	maxActive = 1000
)

// occurrence is a time at which the schedule was due, with its tick, the Job that
// Kubernetes created for it, and its run. Either may be missing, but not both.
type occurrence struct {
	at   time.Time
	name string
	tick *batchv1.Job
	run  *v1alpha1.WorkspaceJob
}

// state is where an occurrence stands.
type state int

const (
	// reported by an earlier status.
	reported state = iota
	// hasRun means that it has its run, which the status does not report yet.
	hasRun
	// early means that it was never due: Kubernetes fires at once when a schedule is
	// changed to one whose time has just passed.
	early
	// missed means that it can't start any more.
	missed
	// startedManually means that a person started the tick, bypassing the queue. Its pod
	// belongs to no run, so it does nothing. The Job stays, and the run counts as missed.
	startedManually
	// waiting means that its run can't be created now, and later ones wait too.
	waiting
	// due means that its run is to be created.
	due
)

func stateOf(o observed, c occurrence) state {
	refusal, refused := o.refusals[c.name]
	switch {
	case !c.at.After(reportedUntil(&o.recurring.Status)):
		return reported
	case c.run != nil || c.tick.Annotations[v1alpha1.AnnotationJobUID] != "":
		return hasRun
	case !unstarted(c.tick):
		return startedManually
	case c.at.Before(annotatedTime(c.tick, v1alpha1.AnnotationScheduleSince)):
		return early
	case late(o, c.at) || refused && refusal.Kind == report.NameTaken:
		return missed
	case refused || o.workspace == nil || o.failed != nil:
		return waiting
	default:
		return due
	}
}

func late(o observed, at time.Time) bool {
	deadline := o.recurring.Spec.StartingDeadline
	return deadline != nil && o.now.Sub(at) > deadline.Duration
}

// reportedUntil is the time up to which the status reports every occurrence.
func reportedUntil(status *v1alpha1.WorkspaceRecurringJobStatus) time.Time {
	return latest(timeOf(status.LastScheduledAt), timeOf(status.LastMissedAt))
}

// decideOccurrences creates a run for each tick that is due, oldest first, and counts the
// missed ones.
func decideOccurrences(o observed, d *decision, kept *plan) {
	counted := countedUntil(o)
	unfinished := unfinishedOf(o)
	for _, c := range occurrencesOf(o) {
		s := stateOf(o, c)
		if s == due && unfinished+len(d.create) >= maxActive {
			d.crowded, s = true, waiting
		}
		if s == waiting {
			return
		}
		if unused(c, s) {
			d.removeTicks = append(d.removeTicks, *c.tick)
		}
		if s == reported || s == early {
			continue
		}
		missBetween(d, kept, counted, c.at)
		counted = latest(counted, c.at)
		follow(o, d, c, s)
	}
	giveUp(o, d, kept, counted)
}

// follow does what the state of an occurrence asks for.
func follow(o observed, d *decision, c occurrence, s state) {
	switch s {
	case hasRun:
		d.reported[c.name] = true
		d.status.LastScheduledAt = new(metav1.NewTime(c.at))
	case due:
		d.create = append(d.create, runOf(o.recurring, c))
		d.status.LastScheduledAt = new(metav1.NewTime(c.at))
	case startedManually:
		d.startedManually = append(d.startedManually, c.name)
		miss(d, c.at, 1)
	default:
		if _, taken := o.refusals[c.name]; taken {
			d.namesTaken = append(d.namesTaken, c.name)
		}
		miss(d, c.at, 1)
	}
}

// unused reports whether the occurrence has a tick that no run uses or ever will.
func unused(c occurrence, s state) bool {
	if c.tick == nil {
		return false
	}
	if run := c.tick.Annotations[v1alpha1.AnnotationJobUID]; run != "" {
		return c.run == nil || string(c.run.UID) != run
	}
	if !unstarted(c.tick) {
		return false
	}
	if c.run != nil {
		// A run does not start a tick whose template can't be read: it creates its own Job.
		_, readable := templateOf(c.tick)
		return !readable
	}
	return s == reported || s == early || s == missed
}

// occurrencesOf returns the ticks with their runs, oldest first, and the runs whose
// ticks are gone.
func occurrencesOf(o observed) []occurrence {
	of := map[string]*occurrence{}
	for i := range o.ticks {
		tick := &o.ticks[i]
		of[tick.Name] = &occurrence{at: scheduledAt(tick), name: tick.Name, tick: tick}
	}
	for i := range o.runs {
		run := &o.runs[i]
		if !metav1.IsControlledBy(run, o.recurring) {
			continue
		}
		if c := of[run.Name]; c != nil {
			c.run = run
			continue
		}
		// Anybody can annotate a WorkspaceJob, and a time in the future would hide all
		// ticks before it.
		if at, ok := run.ScheduledAt(); ok && run.Name == tickName(o.recurring, at) && at.Before(o.now.Add(skew)) {
			of[run.Name] = &occurrence{at: at, name: run.Name, run: run}
		}
	}
	occurrences := make([]occurrence, 0, len(of))
	for c := range maps.Values(of) {
		occurrences = append(occurrences, *c)
	}
	slices.SortFunc(occurrences, func(a, b occurrence) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	return occurrences
}
