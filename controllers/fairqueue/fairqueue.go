// Package fairqueue gives a controller a work queue that serves the namespaces in
// turn, so that a tenant with ten thousand changes delays another one's by one.
package fairqueue

import (
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// New returns the queue. It fits controller.Options.NewQueue.
func New(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[reconcile.Request]{Name: name, Queue: &turns{}})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[reconcile.Request]{Name: name, Queue: queue})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{
		Name: name, DelayingQueue: delaying,
	})
}

// turns holds a line of requests for each namespace, and the order in which the namespaces
// are served. The work queue around it locks, and adds no request that is waiting already.
type turns struct {
	lines map[string]*line
	// ring holds the lines in the order of their turns.
	ring []*line
	len  int
}

type line struct {
	namespace string
	requests  []reconcile.Request
}

// Touch does nothing: a request that is waiting already keeps its position.
func (t *turns) Touch(reconcile.Request) {}

// Push adds a request to the end of its namespace's line.
func (t *turns) Push(request reconcile.Request) {
	if t.lines == nil {
		t.lines = map[string]*line{}
	}
	own := t.lines[request.Namespace]
	if own == nil {
		own = &line{namespace: request.Namespace}
		t.lines[request.Namespace] = own
		t.ring = append(t.ring, own)
	}
	own.requests = append(own.requests, request)
	t.len++
}

// Len returns how many requests are waiting.
func (t *turns) Len() int { return t.len }

// Pop removes and returns the first request of the namespace whose turn it is. The work
// queue calls it only if there is one.
func (t *turns) Pop() reconcile.Request {
	own := t.ring[0]
	request := own.requests[0]
	own.requests = own.requests[1:]
	t.ring = t.ring[1:]
	if len(own.requests) > 0 {
		t.ring = append(t.ring, own)
	} else {
		delete(t.lines, own.namespace)
	}
	t.len--
	return request
}
