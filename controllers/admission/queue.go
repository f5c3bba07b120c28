package admission

import (
	"context"
	"sync"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// freshLook is how soon a job asks again while the cache is behind.
	freshLook = time.Second
	// shortestWait and longestWait are between how often a waiting job asks by
	// itself. Whoever's turn it is is called, so this only keeps what is told of its
	// place true.
	shortestWait = 30 * time.Second
	longestWait  = 5 * time.Minute
	waitPerJob   = 50 * time.Millisecond
)

// queue is one workspace's.
type queue struct {
	mutex sync.Mutex
	ready readiness
	line  line
	// taken are the places of jobs that were admitted and whose pods the cache has
	// not shown yet, by WorkspaceJob.
	taken map[string]Entry
	// told is what each waiting job was last told.
	told  map[string]told
	limit int
	// suspended: nobody is admitted.
	suspended bool
}

// readiness of a queue: it has to know what was before it.
type readiness int

const (
	unknown readiness = iota
	asking
	ready
)

type told struct {
	reason string
	before int
}

// standing is how things stand while one question is answered.
type standing struct {
	busy map[string]bool // WorkspaceJobs that are processing
	keys map[string]bool // concurrencyKeys of theirs
	free int             // places that are left
	// runs of a series.
	runs func(series string) ([]Run, error)
}

// stand reads how things stand. It forgets places that the cache shows by now, and
// does so before it looks who is processing: the cache moves on between the two, and a
// pod that appears there would be missed the other way round.
func (q *queue) stand(ctx context.Context, source Source, namespace string) (*standing, error) {
	for name, e := range q.taken {
		shown, err := source.Shown(ctx, namespace, e.Job)
		if err != nil {
			return nil, err
		}
		if shown {
			delete(q.taken, name)
		}
	}
	occupants, err := source.Occupants(ctx, namespace)
	if err != nil {
		return nil, err
	}
	s := &standing{busy: map[string]bool{}, keys: map[string]bool{}}
	for _, o := range occupants {
		s.busy[o.Name] = true
		s.keys[o.Key] = true
	}
	for name, e := range q.taken {
		s.busy[name] = true
		s.keys[e.Key] = true
	}
	s.free = q.limit - len(s.busy)
	known := map[string][]Run{}
	s.runs = func(series string) ([]Run, error) {
		runs, ok := known[series]
		if ok {
			return runs, nil
		}
		runs, err := q.runsOf(ctx, source, namespace, series)
		known[series] = runs
		return runs, err
	}
	return s, nil
}

// runsOf a series: those that the cache knows, and those that were admitted or
// have asked before it does.
func (q *queue) runsOf(ctx context.Context, source Source, namespace, series string) ([]Run, error) {
	runs, err := source.Unfinished(ctx, namespace, series)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, run := range runs {
		at[run.Name] = i
	}
	add := func(e *Entry, takenUp bool) {
		if i, ok := at[e.Name]; ok {
			runs[i].TakenUp = runs[i].TakenUp || takenUp
			return
		}
		runs = append(runs, Run{Name: e.Name, TakenUp: takenUp, Due: e.Due, Created: e.Created})
	}
	for _, e := range q.taken {
		if e.Series == series {
			add(&e, true)
		}
	}
	for _, e := range q.line.entries {
		if e.Series == series {
			add(e, e.TakenUp)
		}
	}
	return runs, nil
}

// obstacleOf is why e can't have the next place, be it free or not.
func (q *queue) obstacleOf(s *standing, e *Entry) (obstacle, error) {
	if e.Series != "" && !e.TakenUp && e.Policy != v1alpha1.PolicyAllow {
		runs, err := s.runs(e.Series)
		if err != nil {
			return obstacle{}, err
		}
		if o := overlap(e, runs); o.reason != "" {
			return o, nil
		}
	}
	switch {
	case q.suspended:
		return obstacle{reason: v1alpha1.ReasonQueueSuspended}, nil
	case s.busy[e.Name]:
		// Its last attempt's pod has not stopped.
		return obstacle{reason: v1alpha1.ReasonQueued}, nil
	case e.Key != "" && s.keys[e.Key]:
		return obstacle{reason: v1alpha1.ReasonConcurrencyKeyBusy}, nil
	default:
		return obstacle{}, nil
	}
}

// turns gives the free places away in the order of the line and calls visit with
// each job that gets one, until visit says that it has seen enough. Who can't use
// a place does not hold it up for those behind.
func (q *queue) turns(s *standing, visit func(*Entry) (enough bool)) error {
	for _, e := range q.line.entries {
		if s.free <= 0 || q.suspended {
			return nil
		}
		o, err := q.obstacleOf(s, e)
		if err != nil {
			return err
		}
		if o.reason != "" {
			continue
		}
		if visit(e) {
			return nil
		}
		s.free--
		s.busy[e.Name] = true
		s.keys[e.Key] = true
	}
	return nil
}

// ask decides about e, which waits in the line.
func (q *queue) ask(s *standing, e *Entry) (Verdict, error) {
	o, err := q.obstacleOf(s, e)
	if err != nil {
		return Verdict{}, err
	}
	if o.final {
		return Verdict{Rejected: true, Reason: o.reason, By: o.by}, nil
	}
	if o.reason == "" {
		admitted := false
		err := q.turns(s, func(next *Entry) bool {
			admitted = next == e
			return admitted
		})
		if err != nil || admitted {
			return Verdict{Admitted: admitted}, err
		}
		o.reason = v1alpha1.ReasonQueued
	}
	return q.wait(e, o), nil
}

// wait tells how e stands. Its place is told anew when it has halved, so that ten
// thousand waiting jobs are not written at every move of the queue.
func (q *queue) wait(e *Entry, o obstacle) Verdict {
	before := q.line.before(e)
	last, known := q.told[e.Name]
	if !known {
		last = told{reason: e.Reason, before: before}
	}
	unchanged := last.reason == o.reason && (before > last.before/2 || before == last.before)
	if !unchanged || !known {
		if q.told == nil {
			q.told = map[string]told{}
		}
		q.told[e.Name] = told{reason: o.reason, before: before}
	}
	return Verdict{
		Reason: o.reason, By: o.by, Before: before, Unchanged: unchanged,
		After: min(shortestWait+time.Duration(before)*waitPerJob, longestWait),
	}
}

func (q *queue) forget(name string) {
	q.line.drop(name)
	delete(q.taken, name)
	delete(q.told, name)
}
