package admission

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestEarlierRunsAreThoseBeforeIt compares the answer with one found by going through all runs.
func TestEarlierRunsAreThoseBeforeIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	anyRun := func(number int) Run {
		return Run{
			Name: fmt.Sprintf("run-%02d", number), HasAttempt: random.IntN(4) == 0,
			Due: begin.Add(time.Duration(random.IntN(5)) * time.Second), Created: begin.Add(time.Duration(random.IntN(3)) * time.Second),
		}
	}
	for range 2000 {
		var runs []Run
		for number := range random.IntN(12) {
			runs = append(runs, anyRun(number))
		}
		// It may be one of them, as it is now or as it was before.
		self := anyRun(random.IntN(12))
		e := &Entry{Name: self.Name, Due: self.Due, Created: self.Created}
		var started, waits Run
		waiting := 0
		for _, run := range runs {
			switch {
			case run.Name == e.Name:
			case run.HasAttempt:
				if started.Name == "" || Older(run, started) {
					started = run
				}
			case Older(run, self):
				waiting++
				if waits.Name == "" || Older(run, waits) {
					waits = run
				}
			}
		}
		want := started.Name
		if want == "" {
			want = waits.Name
		}
		if by, count := sortedSeries(runs).earlier(e); by != want || count != waiting {
			t.Fatalf("%+v among %+v: %q and %d wait, want %q and %d", self, runs, by, count, want, waiting)
		}
	}
}

// TestTenThousandRunsOfASeriesBlockNoWorker counts the allocations of one call, for which
// all workers of all tenants wait, one after the other. Its time would depend on the machine.
func TestTenThousandRunsOfASeriesBlockNoWorker(t *testing.T) { //nolint:paralleltest // others' allocations would count
	const n = 10_000
	queues := New(empty{})
	own := queues.of("acme")
	own.ready, own.limit = ready, 2
	own.reserved = map[string]Entry{"first": {Name: "first", Job: "first-1", Series: "daily"}}
	for i := range n {
		name := fmt.Sprintf("run-%05d", i)
		own.line.put(Entry{Name: name, Due: begin.Add(time.Duration(i) * time.Second), Series: "daily", Policy: v1alpha1.PolicyReplace})
	}
	if allocations := testing.AllocsPerRun(1, func() {
		if _, err := queues.Turn(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
	}); allocations > n/10 {
		t.Errorf("%.0f allocations for %d runs", allocations, n)
	}
}
