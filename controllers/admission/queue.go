package admission

import (
	"context"
	"sync"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// soon is when a job asks again while the cache is behind, or while the Job or pod of
	// its previous attempt is not gone.
	soon = time.Second
	// A waiting job asks again by itself after shortestWait to longestWait. It is called
	// when its turn comes, so this only keeps its reported position up to date.
	shortestWait = 30 * time.Second
	longestWait  = 5 * time.Minute
	waitPerJob   = 50 * time.Millisecond
)

// queue is the queue of one workspace.
type queue struct {
	mutex sync.Mutex
	ready readiness
	line  line
	// reserved are the reservations, by WorkspaceJob: jobs that were admitted and whose
	// pods the cache does not show yet.
	reserved map[string]Entry
	// answered is the last answer to each waiting job.
	answered map[string]position
	// called are the jobs whose turn has come and that have not asked since.
	called map[string]bool
	limit  int
	// suspended queues admit nobody.
	suspended bool
}

// readiness is whether a queue knows the jobs that waited before this operator started.
type readiness int

const (
	unknown readiness = iota
	learning
	ready
)

// position is a waiting job's position, as it was last answered.
type position struct {
	reason string
	before int
}

// usage says which slots are in use while one question is answered.
type usage struct {
	busy map[string]bool // WorkspaceJobs that are processing
	keys map[string]bool // their concurrencyKeys
	free int             // slots that are left
	// series returns a recurring job's unfinished runs.
	series func(name string) (*series, error)
}

// usage reads which slots are in use. It first drops the reservations whose pods the cache
// shows by now, and then lists the occupants. In the opposite order, a pod that reaches the
// cache in between would be counted in neither.
func (q *queue) usage(ctx context.Context, source Source, namespace string) (*usage, error) {
	for name, e := range q.reserved {
		shown, err := source.Shown(ctx, namespace, e.Job)
		if err != nil {
			return nil, err
		}
		if shown {
			delete(q.reserved, name)
		}
	}
	occupants, err := source.Occupants(ctx, namespace)
	if err != nil {
		return nil, err
	}
	u := &usage{busy: map[string]bool{}, keys: map[string]bool{}}
	for _, o := range occupants {
		u.busy[o.Name] = true
		u.keys[o.Key] = true
	}
	for name, e := range q.reserved {
		u.busy[name] = true
		u.keys[e.Key] = true
	}
	u.free = q.limit - len(u.busy)
	known := map[string]*series{}
	u.series = func(name string) (*series, error) {
		if known[name] != nil {
			return known[name], nil
		}
		runs, err := q.runsOf(ctx, source, namespace, name)
		if err != nil {
			return nil, err
		}
		known[name] = sortedSeries(runs)
		return known[name], nil
	}
	return u, nil
}

// runsOf lists a series' runs: those that the cache shows as due, and those in the queue that
// it does not show yet.
func (q *queue) runsOf(ctx context.Context, source Source, namespace, series string) ([]Run, error) {
	runs, err := source.Unfinished(ctx, namespace, series)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, run := range runs {
		at[run.Name] = i
	}
	add := func(e *Entry, hasAttempt bool) {
		if i, ok := at[e.Name]; ok {
			runs[i].HasAttempt = runs[i].HasAttempt || hasAttempt
			return
		}
		runs = append(runs, Run{Name: e.Name, HasAttempt: hasAttempt, Due: e.Due, Created: e.Created})
	}
	for _, e := range q.reserved {
		if e.Series == series {
			add(&e, true)
		}
	}
	for _, e := range q.line.entries {
		if e.Series == series {
			add(e, e.HasAttempt)
		}
	}
	return runs, nil
}

// obstacleOf returns what keeps e from starting, apart from a lack of free slots.
func (q *queue) obstacleOf(u *usage, e *Entry) (obstacle, error) {
	if e.Series != "" && !e.HasAttempt && e.Policy != v1alpha1.PolicyAllow {
		others, err := u.series(e.Series)
		if err != nil {
			return obstacle{}, err
		}
		if o := overlap(e, others); o.reason != "" {
			return o, nil
		}
	}
	switch {
	case q.suspended:
		return obstacle{reason: v1alpha1.ReasonQueueSuspended}, nil
	case u.busy[e.Name]:
		// Its previous attempt's pod has not stopped.
		return obstacle{reason: v1alpha1.ReasonQueued}, nil
	case e.Key != "" && u.keys[e.Key]:
		return obstacle{reason: v1alpha1.ReasonConcurrencyKeyBusy}, nil
	default:
		return obstacle{}, nil
	}
}

// turns gives away the free slots in the order of the line, and calls visit with each job
// that gets one until visit returns true. A job that can't use a slot does not hold up
// those behind it.
func (q *queue) turns(u *usage, visit func(*Entry) (enough bool)) error {
	for _, e := range q.line.entries {
		if u.free <= 0 || q.suspended {
			return nil
		}
		o, err := q.obstacleOf(u, e)
		if err != nil {
			return err
		}
		if o.reason != "" {
			continue
		}
		if visit(e) {
			return nil
		}
		u.free--
		u.busy[e.Name] = true
		u.keys[e.Key] = true
	}
	return nil
}

// ask decides about e, which waits in the line.
func (q *queue) ask(u *usage, e *Entry) (Answer, error) {
	o, err := q.obstacleOf(u, e)
	if err != nil {
		return Answer{}, err
	}
	if o.final {
		return Answer{Rejected: true, Reason: o.reason, By: o.by}, nil
	}
	if o.reason == "" {
		admitted := false
		err := q.turns(u, func(next *Entry) bool {
			admitted = next == e
			return admitted
		})
		if err != nil || admitted {
			return Answer{Admitted: admitted}, err
		}
		o.reason = v1alpha1.ReasonQueued
	}
	return q.wait(e, o), nil
}

// wait returns why e waits and its position. The position counts as changed only when it
// has halved, so that ten thousand waiting jobs are not written each time that the queue
// moves.
func (q *queue) wait(e *Entry, o obstacle) Answer {
	before := q.line.before(e)
	last, known := q.answered[e.Name]
	if !known {
		last = position{reason: e.Reason, before: before}
	}
	unchanged := last.reason == o.reason && (before > last.before/2 || before == last.before)
	if !unchanged || !known {
		if q.answered == nil {
			q.answered = map[string]position{}
		}
		q.answered[e.Name] = position{reason: o.reason, before: before}
	}
	return Answer{
		Reason: o.reason, By: o.by, Before: before, Unchanged: unchanged,
		After: min(shortestWait+time.Duration(before)*waitPerJob, longestWait),
	}
}

func (q *queue) forget(name string) {
	q.line.drop(name)
	delete(q.reserved, name)
	delete(q.answered, name)
	delete(q.called, name)
}
