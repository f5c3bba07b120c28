package recurring

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// doubts are facts that a decision rests on and that only the cache shows, which may lag.
// They are verified with the API server before anything is written.
type doubts struct {
	// recurring is set if the recurring job itself must be read from the API server.
	recurring bool
	// ticks are the names of Jobs that must be read from the API server, because the cache
	// lacks the arguments that their runs get.
	ticks []string
	// runs are the names of runs that must be read from the API server.
	runs []string
	// allRuns is set if all runs must be listed at the API server.
	allRuns bool
}

func (d doubts) any() bool { return d.recurring || len(d.ticks) > 0 || len(d.runs) > 0 || d.allRuns }

// verbs names what has to be read from the API server, for the log.
func (d doubts) verbs() []string {
	var verbs []string
	if d.recurring {
		verbs = append(verbs, "verify the recurring job")
	}
	if len(d.ticks) > 0 {
		verbs = append(verbs, "read ticks "+report.Listed(d.ticks))
	}
	if len(d.runs) > 0 {
		verbs = append(verbs, "verify runs "+report.Listed(d.runs))
	}
	if d.allRuns {
		verbs = append(verbs, "verify all runs")
	}
	return verbs
}

// verified is what the API server itself was asked about.
type verified struct {
	recurring, allRuns bool
	ticks, runs        []string
}

func (v *verified) note(in doubts) {
	v.recurring = v.recurring || in.recurring
	v.allRuns = v.allRuns || in.allRuns
	v.ticks = append(v.ticks, in.ticks...)
	v.runs = append(v.runs, in.runs...)
}

// doubtsOf returns the first doubt about a decision, because what clears it up may clear
// up the others too.
func doubtsOf(o observed, d *decision) doubts {
	// A lagging status may lack a run that was created, ended and was removed. That run
	// would be created a second time.
	if len(d.create) > 0 && !o.verified.recurring {
		return doubts{recurring: true}
	}
	// The cache also lacks large arguments, which the CronJob and the runs need.
	if d.apply != nil && !cached.Whole(o.recurring.Spec.Template.Args) && !o.verified.recurring {
		return doubts{recurring: true}
	}
	if short := shortTicks(o, d); len(short) > 0 {
		return doubts{ticks: short}
	}
	if doubtful := doubtfulRuns(o, d); len(doubtful) > 0 {
		return doubts{runs: doubtful}
	}
	if d.status.MissedRuns > o.recurring.Status.MissedRuns && !o.verified.allRuns {
		return doubts{allRuns: true}
	}
	return doubts{}
}

// shortTicks returns the names of ticks whose runs are to be created and whose arguments
// only the API server has.
func shortTicks(o observed, d *decision) []string {
	var short []string
	for i := range d.create {
		if run := &d.create[i]; !cached.Whole(run.Spec.Args) && !slices.Contains(o.verified.ticks, run.Name) {
			short = append(short, run.Name)
		}
	}
	return short
}

// doubtfulRuns returns the names of runs that must be read from the API server: runs that are missing
// although the status calls them unfinished or their ticks would be removed, and runs that
// seem unfinished although the status has counted their ends. The cache of an operator that
// has just started may be older than that status.
func doubtfulRuns(o observed, d *decision) []string {
	seen := map[string]bool{}
	for i := range o.runs {
		seen[o.runs[i].Name] = ended(&o.runs[i]) || !counted(o, &o.runs[i])
	}
	for _, name := range o.verified.runs {
		seen[name] = true
	}
	names := slices.Clone(o.recurring.Status.Active)
	for i := range d.removeTicks {
		names = append(names, d.removeTicks[i].Name)
	}
	for i := range o.runs {
		names = append(names, o.runs[i].Name)
	}
	var doubtful []string
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			doubtful = append(doubtful, name)
		}
	}
	return doubtful
}

// counted reports whether the status has counted the run's end. A run that was requeued
// since is unfinished all the same.
func counted(o observed, run *v1alpha1.WorkspaceJob) bool {
	at, scheduled := run.ScheduledAt()
	return scheduled && !at.After(reportedUntil(&o.recurring.Status)) && !slices.Contains(o.recurring.Status.Active, run.Name)
}

// found adds a run that the API server has and the cache does not show, or replaces one
// that the cache shows as it was before its end was counted.
func (o *observed) found(run *v1alpha1.WorkspaceJob) {
	at := slices.IndexFunc(o.runs, func(seen v1alpha1.WorkspaceJob) bool { return seen.Name == run.Name })
	switch counted := counted(*o, run); {
	case !isRunOf(o.recurring, run):
	case at >= 0 && counted:
		o.runs[at] = *run
	case at < 0 && counted:
		o.runs = append(o.runs, *run)
	case at < 0:
		o.runs = append(o.runs, unseen(*run))
	}
}

// gone takes out a run that only the cache still shows.
func (o *observed) gone(name string) {
	o.runs = slices.DeleteFunc(o.runs, func(seen v1alpha1.WorkspaceJob) bool { return seen.Name == name })
}

// unseen returns a run that the cache does not show yet, without its status. If the end of
// a run that was triggered were counted now, it would be counted again when the cache shows
// the run unfinished and then ended: see counted.
func unseen(run v1alpha1.WorkspaceJob) v1alpha1.WorkspaceJob {
	run.Status = v1alpha1.WorkspaceJobStatus{}
	return run
}

// isRunOf reports whether the run is one of this recurring job, and not of an earlier
// one of its name.
func isRunOf(recurring *v1alpha1.WorkspaceRecurringJob, run *v1alpha1.WorkspaceJob) bool {
	return run.Series() == recurring.Name && (run.Spec.RecurringJobRef != nil || metav1.IsControlledBy(run, recurring))
}
