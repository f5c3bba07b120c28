package admission

import (
	"context"
	"fmt"
	"sync"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Queues are the queues of all workspaces. A call about one never waits for another.
type Queues struct {
	source Source
	mutex  sync.Mutex
	queues map[string]*queue // by namespace
}

// New returns the queues of the jobs that source lists.
func New(source Source) *Queues {
	return &Queues{source: source, queues: map[string]*queue{}}
}

// Ask decides whether the attempt may start. An attempt that was admitted is admitted again
// until the cache shows its pod, or that its Job is over, or [Queues.Leave] is called. A job
// whose previous attempt has a Job or pod left has to wait for that.
func (q *Queues) Ask(ctx context.Context, ws *v1alpha1.Workspace, e Entry) (Answer, error) {
	namespace := ws.NamespaceName()
	later := Answer{Unchanged: true, After: soon}
	own := q.of(namespace)
	reserved, err := own.reservation(ctx, q.source, namespace, e.Name)
	if err != nil {
		return later, err
	}
	if reserved != nil && reserved.sameAttempt(e) {
		// A full quota may have held the attempt back for long.
		open, err := own.stillOpen(ctx, q.source, ws)
		if err != nil {
			return later, err
		}
		if open {
			// The WorkspaceJob may have been deleted since it was admitted, and its Job with it.
			exists, err := q.source.Exists(ctx, namespace, e)
			if err != nil || !exists {
				return later, wrap("find job", e.Name, err)
			}
			return Answer{Admitted: true}, nil
		}
	}
	if left, err := q.release(ctx, own, namespace, reserved); err != nil || left {
		return later, err
	}
	fresh, err := q.prepare(ctx, own, namespace)
	if err != nil {
		return later, wrap("prepare the queue of namespace", namespace, err)
	}
	// The caller may have read the job before the cache was fresh.
	if fresh {
		if fresh, err = q.source.Current(ctx, namespace, e); err != nil {
			return later, wrap("read job", e.Name, err)
		}
	}
	if !fresh {
		return later, nil
	}
	return own.answer(ctx, q.source, ws, e)
}

// answer answers an attempt that has no slot.
func (q *queue) answer(ctx context.Context, source Source, ws *v1alpha1.Workspace, e Entry) (Answer, error) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.line.put(e)
	delete(q.called, e.Name)
	u, err := q.usageUnder(ctx, source, ws)
	if err != nil {
		return Answer{}, err
	}
	answer, err := q.ask(u, q.line.byName[e.Name])
	if answer.Admitted || answer.Rejected {
		q.forget(e.Name)
	}
	if answer.Admitted {
		if q.reserved == nil {
			q.reserved = map[string]Entry{}
		}
		q.reserved[e.Name] = e
	}
	return answer, err
}

// stillOpen reports whether a job that has a reservation may still start: the queue is not
// suspended, and its limit is not lower than the number of slots in use.
func (q *queue) stillOpen(ctx context.Context, source Source, ws *v1alpha1.Workspace) (bool, error) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	u, err := q.usageUnder(ctx, source, ws)
	if err != nil {
		return false, err
	}
	return !q.suspended && u.free >= 0, nil
}

// usageUnder takes over the Workspace's limit, and reads which slots are in use under it.
func (q *queue) usageUnder(ctx context.Context, source Source, ws *v1alpha1.Workspace) (*usage, error) {
	q.limit, q.suspended = int(ws.Limit()), ws.Spec.Suspend
	u, err := q.usage(ctx, source, ws.NamespaceName())
	return u, wrap("read the queue of namespace", ws.NamespaceName(), err)
}

// Running takes a job that has an attempt under way out of the line.
func (q *Queues) Running(namespace, name string) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.line.drop(name)
	delete(own.answered, name)
	delete(own.called, name)
}

// Leave takes a job that wants no slot out of the queue. It returns true if the job still
// has a reservation, which ends only when the API server has no unfinished Job or pod of
// the attempt. Call Leave again then.
func (q *Queues) Leave(ctx context.Context, namespace, name string) (left bool, err error) {
	own := q.of(namespace)
	reserved, err := own.reservation(ctx, q.source, namespace, name)
	if err != nil {
		return false, err
	}
	if left, err := q.release(ctx, own, namespace, reserved); err != nil || left {
		return left, err
	}
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.forget(name)
	return false, nil
}

// reservation returns the job's reservation, or nil if it has none or the cache shows its
// pod by now.
func (q *queue) reservation(ctx context.Context, source Source, namespace, name string) (*Entry, error) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	reserved, ok := q.reserved[name]
	if !ok {
		return nil, nil
	}
	shown, err := source.Shown(ctx, namespace, reserved.Job)
	if err != nil {
		return nil, wrap("find Job", reserved.Job, err)
	}
	if shown {
		delete(q.reserved, name)
		return nil, nil
	}
	return &reserved, nil
}

// release ends a reservation, unless a Job or pod of its attempt is left. It asks the API
// server without holding the queue's lock. That is safe because only the reconcile of this
// job changes its reservation, and a job is never reconciled twice at once.
func (q *Queues) release(ctx context.Context, own *queue, namespace string, reserved *Entry) (left bool, err error) {
	if reserved == nil {
		return false, nil
	}
	if left, err := q.source.Remains(ctx, namespace, *reserved); err != nil || left {
		return left, wrap("find what is left of Job", reserved.Job, err)
	}
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.forget(reserved.Name)
	return false, nil
}

// Turn lists the jobs whose turn has come, each only once until it asks. Call it after
// anything that may have freed a slot, and reconcile the jobs.
func (q *Queues) Turn(ctx context.Context, namespace string) ([]string, error) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	if own.ready != ready || len(own.line.entries) == 0 || own.suspended {
		return nil, nil
	}
	u, err := own.usage(ctx, q.source, namespace)
	if err != nil {
		return nil, wrap("read the queue of namespace", namespace, err)
	}
	var names []string
	err = own.turns(u, func(e *Entry) bool {
		if !own.called[e.Name] {
			names = append(names, e.Name)
		}
		return false
	})
	if own.called == nil {
		own.called = map[string]bool{}
	}
	for _, name := range names {
		own.called[name] = true
	}
	return names, err
}

func (q *Queues) of(namespace string) *queue {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	own := q.queues[namespace]
	if own == nil {
		own = &queue{}
		q.queues[namespace] = own
	}
	return own
}

// prepare learns once which jobs waited before this operator started. One caller does it and
// the others ask again later, so that a large namespace blocks no worker.
func (q *Queues) prepare(ctx context.Context, own *queue, namespace string) (bool, error) {
	own.mutex.Lock()
	if own.ready != unknown {
		defer own.mutex.Unlock()
		return own.ready == ready, nil
	}
	own.ready = learning
	own.mutex.Unlock()

	waiting, fresh, err := q.learn(ctx, namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.ready = unknown
	if err != nil || !fresh {
		return false, err
	}
	own.ready = ready
	for _, e := range waiting {
		own.line.put(e)
	}
	return true, nil
}

func (q *Queues) learn(ctx context.Context, namespace string) ([]Entry, bool, error) {
	fresh, err := q.source.Fresh(ctx, namespace)
	if err != nil || !fresh {
		return nil, false, err
	}
	waiting, err := q.source.Waiting(ctx, namespace)
	return waiting, true, err
}

func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, name, err)
}
