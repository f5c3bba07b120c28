package admission

import (
	"context"
	"fmt"
	"sync"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Queues are those of all workspaces. Questions about one never wait for another.
type Queues struct {
	source Source
	mutex  sync.Mutex
	queues map[string]*queue // by namespace
}

// New returns the queues of what source lists.
func New(source Source) *Queues {
	return &Queues{source: source, queues: map[string]*queue{}}
}

// Ask decides whether the attempt may start. The same question is answered the same: an
// attempt that was admitted keeps its slot until its Job is seen or [Queues.Leave] is
// called. A job whose earlier attempt has left something behind has to wait for that.
func (q *Queues) Ask(ctx context.Context, ws *v1alpha1.Workspace, e Entry) (Answer, error) {
	namespace := ws.NamespaceName()
	later := Answer{Unchanged: true, After: soon}
	own := q.of(namespace)
	reserved, err := own.reservation(ctx, q.source, namespace, e.Name)
	if err != nil {
		return later, err
	}
	if reserved != nil && reserved.sameAttempt(e) {
		// The Job may have been made and have gone since, and the WorkspaceJob with it.
		exists, err := q.source.Exists(ctx, namespace, e)
		if err != nil || !exists {
			return later, wrap("look for the job", e.Name, err)
		}
		return Answer{Admitted: true}, nil
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

// answer an attempt that has no slot.
func (q *queue) answer(ctx context.Context, source Source, ws *v1alpha1.Workspace, e Entry) (Answer, error) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.limit, q.suspended = int(ws.Limit()), ws.Spec.Suspend
	q.line.put(e)
	delete(q.called, e.Name)
	u, err := q.usage(ctx, source, ws.NamespaceName())
	if err != nil {
		return Answer{}, wrap("read the queue of namespace", ws.NamespaceName(), err)
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

// Running takes a job that has an attempt under way out of the line.
func (q *Queues) Running(namespace, name string) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.line.drop(name)
	delete(own.answered, name)
	delete(own.called, name)
}

// Leave takes a job that wants no slot out of the queue. It reports whether the job still
// has one: a reservation ends only when it is certain that no Job or pod is on its way,
// or stopping, that the cache does not show. Call it again then.
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

// reservation of a job whose Job the cache does not show yet; nil if there is none.
func (q *queue) reservation(ctx context.Context, source Source, namespace, name string) (*Entry, error) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	reserved, ok := q.reserved[name]
	if !ok {
		return nil, nil
	}
	shown, err := source.Shown(ctx, namespace, reserved.Job)
	if err != nil {
		return nil, wrap("look for Job", reserved.Job, err)
	}
	if shown {
		delete(q.reserved, name)
		return nil, nil
	}
	return &reserved, nil
}

// release ends a reservation, unless something is left of its attempt. The API server is
// asked without holding the queue up. Only the reconcile of this job changes its
// reservation, so nobody else does so meanwhile.
func (q *Queues) release(ctx context.Context, own *queue, namespace string, reserved *Entry) (left bool, err error) {
	if reserved == nil {
		return false, nil
	}
	if left, err := q.source.Remains(ctx, namespace, *reserved); err != nil || left {
		return left, wrap("look for what is left of Job", reserved.Job, err)
	}
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.forget(reserved.Name)
	return false, nil
}

// Turn lists the jobs whose turn has come, each once until it asks. Call it after anything
// that may have freed a slot, and reconcile them.
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

// prepare learns what waited before this operator: once, and by one caller. The others
// come again, so that a large namespace holds up nobody.
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
