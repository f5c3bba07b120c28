package admission

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// full is a queue with one place, whose jobs have all asked.
func full(t *testing.T, entries []Entry) (*world, *Queues, *v1alpha1.Workspace) {
	t.Helper()
	w := newWorld(1)
	w.limit = 1
	queues := New(w)
	ws := &v1alpha1.Workspace{}
	ws.Name, ws.Spec.Namespace, ws.Spec.Concurrency = "acme", "acme", new(int32(1))
	// Somebody has the place while the others come.
	if verdict, err := queues.Ask(t.Context(), ws, Entry{Name: "first", Job: "first-1", Priority: 1000}); err != nil || !verdict.Admitted {
		t.Fatalf("the first of all is not admitted: %+v, %v", verdict, err)
	}
	for _, e := range entries {
		if verdict, err := queues.Ask(t.Context(), ws, e); err != nil || verdict.Admitted {
			t.Fatalf("%s is admitted beside the first: %v", e.Name, err)
		}
	}
	return w, queues, ws
}

// TestFirstComeFirstServed: within a priority, in whatever order they ask.
func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var entries []Entry
	for i := range 300 {
		name := fmt.Sprintf("job-%03d", i)
		entries = append(entries, Entry{
			Name: name, Job: name + "-1", Priority: int32(random.IntN(3)), Due: begin.Add(time.Duration(random.IntN(100)) * time.Second),
		})
	}
	_, queues, ws := full(t, entries)
	var called []string
	queues.OnTurn(func(job types.NamespacedName) { called = append(called, job.Name) })
	queues.Forget("acme", "first")
	var served []Entry
	for range entries {
		called = nil
		if err := queues.Turn(t.Context(), "acme"); err != nil || len(called) != 1 {
			t.Fatalf("one place is free, and %q are called: %v", called, err)
		}
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == called[0] })
		if verdict, err := queues.Ask(t.Context(), ws, entries[at]); err != nil || !verdict.Admitted {
			t.Fatalf("%s was called and is not admitted: %+v, %v", called[0], verdict, err)
		}
		served = append(served, entries[at])
		queues.Forget("acme", called[0])
	}
	if !slices.IsSortedFunc(served, func(a, b Entry) int {
		return cmp.Or(-cmp.Compare(a.Priority, b.Priority), a.Due.Compare(b.Due), cmp.Compare(a.Name, b.Name))
	}) {
		t.Error("they were not served in their order")
	}
}

// TestTenThousandAreToldSparingly: the last of ten thousand is told of its place some
// fourteen times until it is its turn, not ten thousand times.
func TestTenThousandAreToldSparingly(t *testing.T) {
	t.Parallel()
	const n = 10_000
	var entries []Entry
	for i := range n {
		name := fmt.Sprintf("job-%05d", i)
		entries = append(entries, Entry{Name: name, Job: name + "-1", Due: begin})
	}
	_, queues, ws := full(t, entries)
	last, told := entries[n-1], 0
	for _, e := range entries[:n-1] {
		queues.Forget("acme", e.Name)
		verdict, err := queues.Ask(t.Context(), ws, last)
		if err != nil || verdict.Admitted {
			t.Fatalf("it is admitted beside the first: %v", err)
		}
		if !verdict.Unchanged {
			told++
		}
	}
	if told < 5 || told > 15 {
		t.Errorf("it was told %d times", told)
	}
}

func BenchmarkAskBehindTenThousand(b *testing.B) {
	w := newWorld(1)
	queues := New(w)
	ws := &v1alpha1.Workspace{}
	ws.Name, ws.Spec.Namespace, ws.Spec.Concurrency = "acme", "acme", new(int32(1))
	for i := range 10_000 {
		name := fmt.Sprintf("job-%05d", i)
		if _, err := queues.Ask(b.Context(), ws, Entry{Name: name, Job: name + "-1", Due: begin}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := queues.Ask(b.Context(), ws, Entry{Name: "job-05000", Job: "job-05000-1", Due: begin}); err != nil {
			b.Fatal(err)
		}
	}
}

// moving is a world whose cache is told of everything between two looks at it.
type moving struct{ *world }

func (m moving) Occupants(ctx context.Context, namespace string) ([]Occupant, error) {
	defer m.tellAll()
	return m.world.Occupants(ctx, namespace)
}

func (m moving) Shown(ctx context.Context, namespace, job string) (bool, error) {
	defer m.tellAll()
	return m.world.Shown(ctx, namespace, job)
}

func (m moving) tellAll() {
	for kind := range kinds {
		for m.tell(kind) != "" {
			continue
		}
	}
}

// TestACacheThatMovesOnHidesNobody: a pod that appears in the middle of a question.
func TestACacheThatMovesOnHidesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.limit = 1
	queues := New(moving{w})
	ws := &v1alpha1.Workspace{}
	ws.Name, ws.Spec.Namespace, ws.Spec.Concurrency = "acme", "acme", new(int32(1))
	first := Entry{Name: "first", Job: "first-1", Due: begin}
	if verdict, err := queues.Ask(t.Context(), ws, first); err != nil || !verdict.Admitted {
		t.Fatalf("the first is not admitted: %+v, %v", verdict, err)
	}
	w.start(first)
	for range 3 {
		if verdict, err := queues.Ask(t.Context(), ws, Entry{Name: "second", Job: "second-1", Due: begin}); err != nil || verdict.Admitted {
			t.Fatalf("the second is admitted beside the first: %v", err)
		}
	}
}
