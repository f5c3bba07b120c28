package dashboard

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// stateCount is a state, how many jobs are in it, and where they are listed.
type stateCount struct {
	State, URL string
	Count      int32
}

type overviewData struct {
	base
	Counts  []stateCount
	Counted bool
	// Any is set if there is or was a job.
	Any         bool
	Namespace   string
	Suspended   bool
	Concurrency int32
	Processing  int32
	// Problem says why the workspace is not ready.
	Problem       string
	Day, Week     []bar
	LiveGraph     []bar
	SchemaVersion int64
}

func loadOverview(_ context.Context, s *scope, _ rights) (pageData, error) {
	ws := s.workspace
	data := &overviewData{
		base: base{Title: "Overview"}, Namespace: ws.Status.Namespace, Suspended: ws.Spec.Suspend, Concurrency: ws.Limit(), SchemaVersion: ws.Status.SchemaVersion,
		Day: history(ws.Status.History, time.Now(), 24, time.Hour), Week: history(ws.Status.History, time.Now(), 28, 6*time.Hour),
		LiveGraph: newFinished(time.Now()).bars(time.Now()),
	}
	counts := countsOf(ws)
	data.Counted = counts != nil
	for _, state := range v1alpha1.JobStates() {
		data.Counts = append(data.Counts, stateCount{string(state), s.path("jobs") + "?state=" + string(state), counts[state]})
		data.Any = data.Any || counts[state] > 0
	}
	data.Any = data.Any || len(ws.Status.History) > 0
	data.Processing = counts[v1alpha1.StateProcessing]
	if ready := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Status != "True" {
		data.Problem = printable.Text(ready.Message)
	}
	return data, nil
}

// history puts the hours of a Workspace's status into bars of the given width, the last of
// which includes now.
func history(hours []v1alpha1.HourCount, now time.Time, bars int, width time.Duration) []bar {
	last := now.UTC().Truncate(width)
	all := make([]bar, bars)
	for i := range all {
		all[i].From = last.Add(-time.Duration(bars-1-i) * width)
	}
	for _, hour := range hours {
		i := bars - 1 - int(last.Sub(hour.Hour.UTC().Truncate(width))/width)
		if i >= 0 && i < bars {
			all[i].Succeeded += int(hour.Succeeded)
			all[i].Failed += int(hour.Failed)
		}
	}
	return all
}

const (
	// liveBars is the number of bars in the live graph, liveWidth the time that each covers.
	liveBars  = 60
	liveWidth = 5 * time.Second
	// liveEvery is how often the live graph is sent if it has changed.
	liveEvery = 2 * time.Second
)

// run is a run of a job.
type run struct {
	uid    types.UID
	number int32
}

// finished counts the runs that end after it began.
type finished struct {
	since time.Time
	runs  map[run]v1alpha1.JobState
	ends  map[run]time.Time
}

func newFinished(since time.Time) *finished {
	return &finished{since: since, runs: map[run]v1alpha1.JobState{}, ends: map[run]time.Time{}}
}

// saw counts a job's run once, if it has ended.
func (f *finished) saw(job *v1alpha1.WorkspaceJob) bool {
	key := run{job.UID, job.Status.Run}
	_, known := f.runs[key]
	state, end := job.Status.State, job.Status.FinishedAt
	// The API keeps whole seconds.
	if known || end == nil || end.Time.Before(f.since.Truncate(time.Second)) || state != v1alpha1.StateSucceeded && state != v1alpha1.StateFailed {
		return false
	}
	f.runs[key], f.ends[key] = state, end.Time
	return true
}

// bars returns the bars of the last minutes, and forgets what is older.
func (f *finished) bars(now time.Time) []bar {
	last := now.UTC().Truncate(liveWidth)
	all := make([]bar, liveBars)
	for i := range all {
		all[i].From = last.Add(-time.Duration(liveBars-1-i) * liveWidth)
	}
	for key, end := range f.ends {
		i := liveBars - 1 - int(last.Sub(end.UTC().Truncate(liveWidth))/liveWidth)
		switch {
		case i < 0:
			delete(f.ends, key)
			delete(f.runs, key)
			f.since = later(f.since, end.Add(time.Second))
		case i >= liveBars:
			// The operator's clock is ahead: the run is counted once this one has caught up.
		case f.runs[key] == v1alpha1.StateSucceeded:
			all[i].Succeeded++
		default:
			all[i].Failed++
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// followFinished sends the live graph: the jobs that finish while the page is open.
func followFinished(ctx context.Context, s *scope, emit func(stream.Event)) func(pageData) {
	go func() {
		seen := newFinished(time.Now())
		for ctx.Err() == nil {
			s.watchFinished(ctx, seen, emit)
			pauseFor(ctx)
		}
	}()
	return func(pageData) {}
}

// watchFinished counts until the API server ends the watch.
func (s *scope) watchFinished(ctx context.Context, seen *finished, emit func(stream.Event)) {
	list, err := s.jobs.List(ctx, client.ListOptions{Limit: 1})
	if err != nil {
		return
	}
	watcher, err := s.jobs.Watch(ctx, client.WatchOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return
	}
	defer watcher.Stop()
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var sent string
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-watcher.ResultChan():
			if !open || e.Type == watch.Error {
				return
			}
			if job, ok := e.Object.(*v1alpha1.WorkspaceJob); ok && e.Type != watch.Deleted {
				seen.saw(job)
			}
		case now := <-tick.C:
			text, err := render("live-graph", seen.bars(now))
			if err == nil && string(text) != sent {
				sent = string(text)
				emit(stream.Event{Name: "graph", Data: text})
			}
		}
	}
}

// pauseFor waits before something is tried again, or until ctx ends.
func pauseFor(ctx context.Context) {
	timer := time.NewTimer(retryDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
