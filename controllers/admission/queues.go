package admission

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Queues are those of all workspaces. Questions about one never wait for another.
type Queues struct {
	source Source
	mutex  sync.Mutex
	queues map[string]*queue // by namespace
	call   func(types.NamespacedName)
}

// New makes the queues; source tells how things stand.
func New(source Source) *Queues {
	return &Queues{source: source, queues: map[string]*queue{}, call: func(types.NamespacedName) {}}
}

// OnTurn has call told of each waiting job whose turn has come. It must be set
// before the first question.
func (q *Queues) OnTurn(call func(types.NamespacedName)) { q.call = call }

// Ask decides whether the attempt may start. Ask again with the same entry is
// answered the same: one that was admitted keeps its place until its Job is seen or
// [Queues.Forget] is called.
func (q *Queues) Ask(ctx context.Context, ws *v1alpha1.Workspace, e Entry) (Verdict, error) {
	namespace := ws.NamespaceName()
	own := q.of(namespace)
	fresh, err := q.prepare(ctx, own, namespace)
	if err != nil {
		return Verdict{}, fmt.Errorf("prepare the queue of namespace %q: %w", namespace, err)
	}
	// The asker may have looked before the cache was fresh.
	if fresh {
		if fresh, err = q.source.Current(ctx, namespace, e); err != nil {
			return Verdict{}, fmt.Errorf("look at job %q: %w", e.Name, err)
		}
	}
	if !fresh {
		return Verdict{Unchanged: true, After: freshLook}, nil
	}
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.limit, own.suspended = int(ws.Limit()), ws.Spec.Suspend
	if place, ok := own.taken[e.Name]; ok && place.sameAttempt(e) {
		return Verdict{Admitted: true, Again: true}, nil
	}
	own.line.put(e)
	s, err := own.stand(ctx, q.source, namespace)
	if err != nil {
		return Verdict{}, fmt.Errorf("look at the queue of namespace %q: %w", namespace, err)
	}
	verdict, err := own.ask(s, own.line.byName[e.Name])
	if verdict.Admitted {
		if own.taken == nil {
			own.taken = map[string]Entry{}
		}
		own.forget(e.Name)
		own.taken[e.Name] = e
	}
	if verdict.Rejected {
		own.forget(e.Name)
	}
	return verdict, err
}

// Started: the job has an attempt under way, so it does not wait.
func (q *Queues) Started(namespace, name string) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.line.drop(name)
	delete(own.told, name)
}

// Taken is the place that a job has and of whose Job the cache has shown nothing yet;
// its Job is "" if there is none. Only what is known not to exist may be forgotten.
func (q *Queues) Taken(ctx context.Context, namespace, name string) (Entry, error) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	place, ok := own.taken[name]
	if !ok {
		return Entry{}, nil
	}
	shown, err := q.source.Shown(ctx, namespace, place.Job)
	if err != nil {
		return Entry{}, fmt.Errorf("look for Job %q: %w", place.Job, err)
	}
	if shown {
		delete(own.taken, name)
		return Entry{}, nil
	}
	return place, nil
}

// Forget a job that wants no place, or did not use the one that it got.
func (q *Queues) Forget(namespace, name string) {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	own.forget(name)
}

// Turn calls those whose turn has come. It is to be called after anything that may
// have freed a place.
func (q *Queues) Turn(ctx context.Context, namespace string) error {
	own := q.of(namespace)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	if own.ready != ready || len(own.line.entries) == 0 || own.suspended {
		return nil
	}
	s, err := own.stand(ctx, q.source, namespace)
	if err != nil {
		return fmt.Errorf("look at the queue of namespace %q: %w", namespace, err)
	}
	return own.turns(s, func(e *Entry) bool {
		q.call(types.NamespacedName{Namespace: namespace, Name: e.Name})
		return false
	})
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

// prepare learns what was before this operator: once, and by one caller; the
// others come again, so that a large namespace holds up nobody.
func (q *Queues) prepare(ctx context.Context, own *queue, namespace string) (bool, error) {
	own.mutex.Lock()
	if own.ready != unknown {
		defer own.mutex.Unlock()
		return own.ready == ready, nil
	}
	own.ready = asking
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
