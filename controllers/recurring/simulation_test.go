package recurring

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// moment is what the API server holds at one time.
type moment struct {
	recurring *v1alpha1.WorkspaceRecurringJob
	ticks     map[string]batchv1.Job
	runs      map[string]v1alpha1.WorkspaceJob
}

// world is an API server with its past, and caches that each lag behind as they
// like, but never go back.
type world struct {
	*rand.Rand
	scene   *scene
	past    []moment
	lags    [3]int
	created map[string]int
	skipped int64
	missed  int64
	pending int64 // hours without a tick since the last one
}

func newWorld(seed uint64) *world {
	s := hourly()
	s.recurring.Spec.History = &v1alpha1.History{Succeeded: new(int32(1)), Failed: new(int32(0))}
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 1)), scene: s, created: map[string]int{},
		past: []moment{{recurring: s.recurring, ticks: map[string]batchv1.Job{}, runs: map[string]v1alpha1.WorkspaceJob{}}},
	}
}

// now is the newest moment; change makes another.
func (w *world) now() *moment { return &w.past[len(w.past)-1] }

func (w *world) change(change func(m *moment)) {
	last := w.now()
	next := moment{recurring: last.recurring.DeepCopy(), ticks: maps.Clone(last.ticks), runs: maps.Clone(last.runs)}
	change(&next)
	w.past = append(w.past, next)
}

// hour: Kubernetes makes its Job, or misses to.
func (w *world) hour(n int) {
	w.scene.at(60 * n)
	if w.IntN(5) == 0 {
		w.pending++
		return
	}
	w.missed, w.pending = w.missed+w.pending, 0
	made := *w.scene
	made.ticks = nil
	tick := made.tick(60 * n).ticks[0]
	tick.UID = types.UID(tick.Name)
	w.change(func(m *moment) { m.ticks[tick.Name] = tick })
}

// play the job controller: some run starts, ends or is skipped.
func (w *world) play() {
	for _, name := range slices.Sorted(maps.Keys(w.now().runs)) {
		run := w.now().runs[name]
		if run.Status.State.Final() || w.IntN(2) == 0 {
			continue
		}
		ends := []v1alpha1.JobState{v1alpha1.StateSucceeded, v1alpha1.StateFailed, v1alpha1.StateDeleted}
		s := *w.scene
		s.runs = nil
		due, _ := run.ScheduledAt()
		ended := s.run(int(due.Sub(noon).Minutes()), ends[w.IntN(3)], v1alpha1.ReasonSkipped).runs[0]
		ended.Status.FinishedAt = when(int(w.scene.now.Sub(noon).Minutes()))
		if w.change(func(m *moment) { m.runs[name] = ended }); ended.Status.State == v1alpha1.StateDeleted {
			w.skipped++
			w.change(func(m *moment) { delete(m.ticks, name) })
			continue
		}
		w.change(func(m *moment) {
			tick := m.ticks[name]
			tick = *tick.DeepCopy()
			tick.Annotations[v1alpha1.AnnotationJobUID], tick.Spec.Suspend = name, new(false)
			m.ticks[name] = tick
		})
	}
}

// view is what the caches show, each with its own lag.
func (w *world) view(lag bool) observed {
	for i := range w.lags {
		newest := len(w.past) - 1
		if lag {
			newest = w.lags[i] + w.IntN(newest-w.lags[i]+1)
		}
		w.lags[i] = newest
	}
	o := w.scene.observed
	o.recurring = w.past[w.lags[0]].recurring
	o.ticks = slices.Collect(maps.Values(w.past[w.lags[1]].ticks))
	o.runs = slices.Collect(maps.Values(w.past[w.lags[2]].runs))
	if anyDue(o) {
		o.recurring = w.now().recurring
	}
	for _, name := range doubtful(o) {
		if run, ok := w.now().runs[name]; ok {
			o.runs = append(o.runs, unheard(run))
		}
	}
	if decide(o).status.MissedRuns > o.recurring.Status.MissedRuns {
		for name, run := range w.now().runs {
			if !slices.ContainsFunc(o.runs, func(seen v1alpha1.WorkspaceJob) bool { return seen.Name == name }) {
				o.runs = append(o.runs, unheard(run))
			}
		}
	}
	return o
}

// look is Reconcile by an operator that dies where it is told to.
func (w *world) look(lag bool, dies func() bool) {
	o := w.view(lag)
	d := decide(o)
	for d.acts() {
		for _, run := range d.adopt {
			if dies() {
				return
			}
			if _, exists := w.now().runs[run.Name]; !exists {
				w.created[run.Name]++
				run.UID = types.UID(run.Name)
				w.change(func(m *moment) { m.runs[run.Name] = run })
			}
			o.runs = append(o.runs, unheard(w.now().runs[run.Name]))
		}
		d = decide(o)
	}
	if !equality.Semantic.DeepEqual(o.recurring.Status, d.status) {
		conflict := o.recurring.ResourceVersion != w.now().recurring.ResourceVersion
		if dies() || conflict {
			return
		}
		w.change(func(m *moment) {
			m.recurring.Status = d.status
			m.recurring.ResourceVersion += "+"
		})
	}
	for _, run := range d.removeRuns {
		if dies() {
			return
		}
		w.change(func(m *moment) { delete(m.runs, run.Name) })
	}
	for _, tick := range d.removeTicks {
		if dies() {
			return
		}
		if live, ok := w.now().ticks[tick.Name]; ok && waiting(&live) == waiting(&tick) {
			w.change(func(m *moment) { delete(m.ticks, tick.Name) })
		}
	}
}

// TestNoRunIsLostOrDoubled whatever Kubernetes misses, wherever the operator dies,
// and however its caches lag.
func TestNoRunIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(seed)
			ticks := map[string]bool{}
			for n := 1; n <= 10; n++ {
				w.hour(n)
				for name := range w.now().ticks {
					ticks[name] = true
				}
				for range w.IntN(6) {
					w.look(true, func() bool { return w.IntN(4) == 0 })
					w.play()
				}
			}
			for range 20 {
				w.look(false, func() bool { return false })
				w.play()
			}
			for name := range ticks {
				if n := w.created[name]; n != 1 {
					t.Errorf("%s ran %d times", minutes([]string{name}), n)
				}
			}
			s := w.now().recurring.Status
			if len(w.created) != len(ticks) || s.MissedRuns != w.missed || s.SkippedRuns != w.skipped || len(s.Active) > 0 {
				t.Errorf("%d ticks, %d runs, %d missed, %d skipped; the status is %+v", len(ticks), len(w.created), w.missed, w.skipped, s)
			}
			if left := w.now(); len(left.runs) > 2 || len(left.ticks) > 2 {
				t.Errorf("%d runs and %d Jobs are left", len(left.runs), len(left.ticks))
			}
			w.look(false, func() bool { t.Error("an idle operator writes"); return true })
		})
	}
}
