package admission

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// empty is a namespace in which nothing has a Job yet: all slots are reservations.
type empty struct{}

func (empty) Fresh(context.Context, string) (bool, error)               { return true, nil }
func (empty) Current(context.Context, string, Entry) (bool, error)      { return true, nil }
func (empty) Waiting(context.Context, string) ([]Entry, error)          { return nil, nil }
func (empty) Occupants(context.Context, string) ([]Occupant, error)     { return nil, nil }
func (empty) Shown(context.Context, string, string) (bool, error)       { return false, nil }
func (empty) Unfinished(context.Context, string, string) ([]Run, error) { return nil, nil }
func (empty) Remains(context.Context, string, Entry) (bool, error)      { return false, nil }
func (empty) Exists(context.Context, string, Entry) (bool, error)       { return true, nil }

// oneSlot is a workspace that processes one job at once.
func oneSlot() *v1alpha1.Workspace {
	ws := &v1alpha1.Workspace{}
	ws.Name, ws.Spec.Namespace, ws.Spec.Concurrency = "acme", "acme", new(int32(1))
	return ws
}

// full is a queue whose one slot is reserved, and whose jobs have all asked.
func full(t *testing.T, entries []Entry) (*Queues, *v1alpha1.Workspace) {
	t.Helper()
	queues, ws := New(empty{}), oneSlot()
	if answer, err := queues.Ask(t.Context(), ws, Entry{Name: "first", Job: "first-1", Priority: 1000}); err != nil || !answer.Admitted {
		t.Fatalf("the first job is not admitted: %+v, %v", answer, err)
	}
	for _, e := range entries {
		if answer, err := queues.Ask(t.Context(), ws, e); err != nil || answer.Admitted {
			t.Fatalf("%s is admitted along with the first: %v", e.Name, err)
		}
	}
	return queues, ws
}

// leave takes a job out of the queue.
func leave(t *testing.T, queues *Queues, name string) {
	t.Helper()
	if left, err := queues.Leave(t.Context(), "acme", name); err != nil || left {
		t.Fatalf("%s does not leave the queue: %v", name, err)
	}
}

// TestFirstComeFirstServed checks that jobs of one priority are served in the order in which
// they became due, in whatever order they ask.
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
	queues, ws := full(t, entries)
	leave(t, queues, "first")
	var served []Entry
	for range entries {
		called, err := queues.Turn(t.Context(), "acme")
		if err != nil || len(called) != 1 {
			t.Fatalf("one slot is free, and %q are called: %v", called, err)
		}
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == called[0] })
		if answer, err := queues.Ask(t.Context(), ws, entries[at]); err != nil || !answer.Admitted {
			t.Fatalf("%s was called and is not admitted: %+v, %v", called[0], answer, err)
		}
		served = append(served, entries[at])
		leave(t, queues, called[0])
	}
	if !slices.IsSortedFunc(served, func(a, b Entry) int {
		return cmp.Or(-cmp.Compare(a.Priority, b.Priority), a.Due.Compare(b.Due), cmp.Compare(a.Name, b.Name))
	}) {
		t.Error("they were not served in their order")
	}
}

// TestThePositionOfTenThousandChangesSparingly checks that the last of ten thousand jobs
// gets about fourteen new positions until its turn, not ten thousand.
func TestThePositionOfTenThousandChangesSparingly(t *testing.T) {
	t.Parallel()
	const n = 10_000
	var entries []Entry
	for i := range n {
		name := fmt.Sprintf("job-%05d", i)
		entries = append(entries, Entry{Name: name, Job: name + "-1", Due: begin})
	}
	queues, ws := full(t, entries)
	last, changes := entries[n-1], 0
	for _, e := range entries[:n-1] {
		leave(t, queues, e.Name)
		answer, err := queues.Ask(t.Context(), ws, last)
		if err != nil || answer.Admitted {
			t.Fatalf("it is admitted along with the first: %v", err)
		}
		if !answer.Unchanged {
			changes++
		}
	}
	if changes < 5 || changes > 15 {
		t.Errorf("its position changed %d times", changes)
	}
}

func BenchmarkAskBehindTenThousand(b *testing.B) {
	queues, ws := New(empty{}), oneSlot()
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

// moving is a namespace whose cache learns of a Job's pod between any two reads.
type moving struct {
	empty
	started, shown bool
}

func (m *moving) Occupants(context.Context, string) ([]Occupant, error) {
	defer m.hear()
	if m.shown {
		return []Occupant{{Name: "first"}}, nil
	}
	return nil, nil
}

func (m *moving) Shown(context.Context, string, string) (bool, error) {
	defer m.hear()
	return m.shown, nil
}

func (m *moving) hear() { m.shown = m.started }

// TestACacheThatMovesOnHidesNoPod has a pod reach the cache in the middle of a question.
func TestACacheThatMovesOnHidesNoPod(t *testing.T) {
	t.Parallel()
	cache, ws := &moving{}, oneSlot()
	queues := New(cache)
	if answer, err := queues.Ask(t.Context(), ws, Entry{Name: "first", Job: "first-1", Due: begin}); err != nil || !answer.Admitted {
		t.Fatalf("the first is not admitted: %+v, %v", answer, err)
	}
	cache.started = true
	for range 3 {
		if answer, err := queues.Ask(t.Context(), ws, Entry{Name: "second", Job: "second-1", Due: begin}); err != nil || answer.Admitted {
			t.Fatalf("the second is admitted along with the first: %v", err)
		}
	}
}
