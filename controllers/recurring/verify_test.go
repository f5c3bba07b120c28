package recurring

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// counting counts the live reads of runs, and finds those that have no bound.
type counting struct {
	client.Reader
	gets, lists, unbounded int
}

func (c *counting) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	if _, run := into.(*v1alpha1.WorkspaceJob); run {
		c.gets++
	}
	return c.Reader.Get(ctx, key, into, options...)
}

func (c *counting) List(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	c.lists++
	var asked client.ListOptions
	asked.ApplyOptions(options)
	if _, metadata := into.(*metav1.PartialObjectMetadataList); !metadata || asked.Limit == 0 {
		c.unbounded++
	}
	return c.Reader.List(ctx, into, options...)
}

// plant adds a run that a tenant could create: unfinished, and annotated as one that was
// scheduled long ago.
func (s *simulation) plant(number int) *v1alpha1.WorkspaceJob {
	run := runOf(s.recurring(), occurrence{at: at(-60 * number), name: fmt.Sprintf("planted-%d", number), tick: tickOf(s.cronJob(), at(0))})
	return world.Add(s.w, &run)
}

// TestDoubtsAboutManyRunsCostOneList plants runs whose ends the status seems to have counted.
func TestDoubtsAboutManyRunsCostOneList(t *testing.T) {
	t.Parallel()
	const n = 300
	s := simulateCalmly(t, 1)
	s.w.Change(s.recurring(), func(object client.Object) {
		if recurring, ok := object.(*v1alpha1.WorkspaceRecurringJob); ok {
			recurring.Status.LastScheduledAt = when(0)
		}
	})
	for i := range n {
		s.plant(i)
	}
	s.hearAll()
	s.w.HearAll("WorkspaceRecurringJob")
	gone := s.plant(n)
	s.hearAll()
	s.w.Remove(gone)
	ended, _ := world.Get[*v1alpha1.WorkspaceJob](s.w, client.ObjectKey{Namespace: gone.Namespace, Name: "planted-7"})
	s.w.Change(ended, func(object client.Object) { s.end(object, v1alpha1.StateSucceeded) })
	reader := &counting{Reader: s.w.APIReader()}
	s.r.APIReader = reader
	o, err := s.r.observe(t.Context(), s.recurring())
	if err != nil {
		t.Fatal(err)
	}
	s.r.carryOut(t.Context(), &o)
	if reader.gets > 1 || reader.lists > 1 || reader.unbounded > 0 || o.failed != nil {
		t.Errorf("%d reads and %d lists, %d without a bound: %v", reader.gets, reader.lists, reader.unbounded, o.failed)
	}
	if unfinished := unfinishedOf(o); unfinished != n-1 || len(o.runs) != n {
		t.Errorf("%d runs, %d unfinished", len(o.runs), unfinished)
	}
}

// TestAllRunsAreVerifiedWithinBounds checks that no list is unbounded: ten thousand runs with
// 64 KiB of arguments each would not fit into the operator's memory.
func TestAllRunsAreVerifiedWithinBounds(t *testing.T) {
	t.Parallel()
	s := simulateCalmly(t, 1)
	o, err := s.r.observe(t.Context(), s.recurring())
	if err != nil {
		t.Fatal(err)
	}
	o.recurring = o.recurring.DeepCopy()
	o.recurring.Status.LastScheduledAt = when(0)
	// One whose end the status has counted, and one whose end it has not: see unseen.
	for _, number := range []int{1, -1} {
		s.w.Change(s.plant(number), func(object client.Object) { s.end(object, v1alpha1.StateSucceeded) })
	}
	reader := &counting{Reader: s.w.APIReader()}
	s.r.APIReader = reader
	if err := s.r.verify(t.Context(), &o, doubts{allRuns: true}); err != nil {
		t.Fatal(err)
	}
	state := map[string]v1alpha1.JobState{}
	for i := range o.runs {
		state[o.runs[i].Name] = o.runs[i].Status.State
	}
	if diff := cmp.Diff(map[string]v1alpha1.JobState{"planted-1": v1alpha1.StateSucceeded, "planted--1": ""}, state); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if reader.lists == 0 || reader.unbounded > 0 {
		t.Errorf("%d lists, %d without a bound", reader.lists, reader.unbounded)
	}
}
