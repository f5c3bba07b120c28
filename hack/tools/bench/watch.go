package main

import (
	"context"
	"errors"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// moments records when something was first seen of an object, by namespace/name. Times in
// objects are whole seconds; a watch reports a change within a millisecond or two.
type moments struct {
	mu   sync.Mutex
	at   map[string]time.Time
	want int
	all  chan struct{}
}

// newMoments returns moments that close all when they hold want of them.
func newMoments(want int) *moments {
	return &moments{at: map[string]time.Time{}, want: want, all: make(chan struct{})}
}

func (m *moments) note(key string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.at[key]; known {
		return
	}
	m.at[key] = now
	if len(m.at) == m.want {
		close(m.all)
	}
}

// seen returns a copy.
func (m *moments) seen() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	copied := make(map[string]time.Time, len(m.at))
	for key, at := range m.at {
		copied[key] = at
	}
	return copied
}

// since returns how long after the given times, by the same keys, the moments were, or 0 for
// what was seen before.
func (m *moments) since(given map[string]time.Time) []time.Duration {
	var took []time.Duration
	for key, at := range m.seen() {
		took = append(took, max(0, at.Sub(given[key])))
	}
	return took
}

// wait returns when all objects were seen.
func (m *moments) wait(ctx context.Context, limit time.Duration, what string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-m.all:
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), wrongCount(what, len(m.seen()), m.want))
	}
}

// watch calls see for every object of a kind, as it is and at each change, until ctx ends;
// in all namespaces, or in those that are named. It returns once the objects that exist
// were seen.
func (l *lab) watch(ctx context.Context, kind client.Object, see func(client.Object), namespaces ...string) error {
	options := cache.Options{
		Scheme: l.env.Scheme, DefaultTransform: cache.TransformStripManagedFields(),
		DefaultNamespaces: map[string]cache.Config{},
	}
	for _, namespace := range namespaces {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	watched, err := cache.New(l.env.Config, options)
	if err != nil {
		return err
	}
	informer, err := watched.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	given := func(object any) {
		if object, ok := object.(client.Object); ok {
			see(object)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: given, UpdateFunc: func(_, object any) { given(object) },
	})
	if err != nil {
		return err
	}
	go func() { _ = watched.Start(ctx) }() // it ends with ctx, not earlier
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

func keyOf(object client.Object) string { return object.GetNamespace() + "/" + object.GetName() }

func jobComplete(object client.Object) bool {
	job, ok := object.(*batchv1.Job)
	return ok && hasCondition(job, batchv1.JobComplete)
}

func hasCondition(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	for _, condition := range job.Status.Conditions {
		if condition.Type == kind && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func jobSucceeded(object client.Object) bool {
	job, ok := object.(*v1alpha1.WorkspaceJob)
	return ok && job.Status.State == v1alpha1.StateSucceeded
}
