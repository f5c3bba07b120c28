package admission

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// fakeOperator does with the queue what controllers/job does, and dies at any write.
type fakeOperator struct {
	*testing.T
	w      *world
	queues *Queues
	// work is whom to look at; later: those who come again by themselves.
	work, later map[string]bool
	// stubborn jobs are refused by the API server, always.
	stubborn map[string]bool
	// mortal: it dies at some writes.
	mortal bool
}

func simulate(t *testing.T, seed uint64) *fakeOperator {
	t.Helper()
	o := &fakeOperator{T: t, w: newWorld(seed), stubborn: map[string]bool{}, mortal: true}
	o.restart()
	return o
}

func (o *fakeOperator) workspace() *v1alpha1.Workspace {
	ws := &v1alpha1.Workspace{}
	ws.Name, ws.Spec.Namespace, ws.Spec.Concurrency = "acme", "acme", new(int32(o.w.limit))
	return ws
}

// restart as a new process: it looks at everything that its cache has.
func (o *fakeOperator) restart() {
	o.w.forget()
	o.queues = New(o.w)
	o.work, o.later = map[string]bool{}, map[string]bool{}
	o.queues.OnTurn(func(job types.NamespacedName) { o.work[job.Name] = true })
	for name := range o.w.cache.jobs {
		o.work[name] = true
	}
}

// dies reports whether the operator dies at this very point.
func (o *fakeOperator) dies() bool {
	if !o.mortal || o.w.rand.IntN(25) > 0 {
		return false
	}
	o.restart()
	return true
}

// hear of a change, if the cache is behind.
func (o *fakeOperator) hear(kind int) bool {
	about := o.w.tell(kind)
	if about == "" && len(o.w.unheard) > 0 {
		about, o.w.unheard = o.w.unheard[0], o.w.unheard[1:]
	}
	if about == "" {
		return false
	}
	o.work[about] = true
	if job, ok := o.w.cache.jobs[about]; ok && job.Series != "" && kind == kindWorkspaceJob {
		for name, other := range o.w.cache.jobs {
			if other.Series == job.Series && !other.final {
				o.work[name] = true
			}
		}
	}
	return true
}

// step looks at one job.
func (o *fakeOperator) step() bool {
	names := slices.Sorted(maps.Keys(o.work))
	if len(names) == 0 {
		return false
	}
	name := names[o.w.rand.IntN(len(names))]
	delete(o.work, name)
	o.reconcile(name)
	if err := o.queues.Turn(o.Context(), "acme"); err != nil {
		o.Fatal(err)
	}
	return true
}

// write a status, on top of what the cache has: stale, it is a conflict.
func (o *fakeOperator) write(seen jobObject, change func(*jobObject)) {
	if o.w.truth.jobs[seen.Name] != seen {
		o.work[seen.Name] = true
		return
	}
	change(&seen)
	o.w.change(kindWorkspaceJob, seen.Name, func(objects *objects) { objects.jobs[seen.Name] = seen })
}

func (o *fakeOperator) reconcile(name string) {
	job, exists := o.w.cache.jobs[name]
	switch {
	case !exists, job.final:
		o.freed(name, "")
	case job.underWay:
		o.attend(job)
	default:
		if _, ok := o.w.cache.attempts[attemptName(name, job.attempts+1)]; ok {
			o.queues.Started("acme", name)
			o.write(job, func(j *jobObject) { j.attempts++; j.underWay = true; j.enqueued = true })
			return
		}
		if job.cancelled || o.replaced(job) {
			if !o.freed(name, "") {
				return
			}
			if _, ok := o.w.truth.attempts[attemptName(name, job.attempts+1)]; !ok {
				o.write(job, func(j *jobObject) { j.final = true })
			}
			return
		}
		o.ask(job)
	}
}

// attend to the attempt that is under way.
func (o *fakeOperator) attend(job jobObject) {
	attempt, ok := o.w.truth.attempts[attemptName(job.Name, job.attempts)]
	if ok && !attempt.finished {
		o.queues.Started("acme", job.Name)
		return
	}
	o.freed(job.Name, "")
	o.write(job, func(j *jobObject) {
		j.underWay = false
		j.final = ok && attempt.succeeded || j.attempts >= 3 || j.cancelled
	})
}

// replaced: a newer run of a series with the policy Replace is due.
func (o *fakeOperator) replaced(job jobObject) bool {
	if job.Policy != v1alpha1.PolicyReplace || !job.enqueued {
		return false
	}
	self := Run{Name: job.Name, Due: job.Due, Created: job.Created}
	return slices.ContainsFunc(o.w.cache.unfinished(job.Series), func(run Run) bool { return run.Name != job.Name && Older(self, run) })
}

func (o *fakeOperator) ask(job jobObject) {
	e := entryOf(job)
	if !o.freed(job.Name, e.Job) {
		return
	}
	verdict, err := o.queues.Ask(o.Context(), o.workspace(), e)
	switch {
	case err != nil:
		o.Fatal(err)
	case verdict.Rejected:
		if !slices.ContainsFunc(o.w.truth.unfinished(job.Series), func(run Run) bool { return run.Name == verdict.By }) && o.w.truth.jobs[verdict.By].enqueued && !o.w.truth.jobs[verdict.By].final {
			o.Errorf("%s is rejected because of %s, which is no unfinished run", job.Name, verdict.By)
		}
		o.write(job, func(j *jobObject) { j.final = true; j.enqueued = true })
	case !verdict.Admitted:
		if verdict.After == freshLook {
			o.later[job.Name] = true
		}
		if !job.enqueued {
			o.write(job, func(j *jobObject) { j.enqueued = true })
		}
	case verdict.Again && !o.exists(job.Name):
		o.later[job.Name] = true
	case o.dies():
	case o.stubborn[job.Name]:
		o.queues.Forget("acme", job.Name)
	default:
		o.w.start(e)
		if !o.dies() {
			o.write(job, func(j *jobObject) { j.attempts++; j.underWay = true; j.enqueued = true })
		}
	}
}

// freed reports whether the job has no place but for the Job named; it gives back one
// whose Job and pod do not exist.
func (o *fakeOperator) freed(name, but string) bool {
	place, err := o.queues.Taken(o.Context(), "acme", name)
	taken := place.Job
	if err != nil {
		o.Fatal(err)
	}
	_, job := o.w.truth.attempts[taken]
	_, pod := o.w.truth.pods[taken]
	switch {
	case taken != "" && taken == but:
		return true
	case taken != "" && (job || pod):
		o.later[name] = true
		return false
	case taken != "" || but == "":
		o.queues.Forget("acme", name)
	}
	return true
}

func (o *fakeOperator) exists(name string) bool {
	_, ok := o.w.truth.jobs[name]
	return ok
}

// disturb does something to the world, or nothing.
func (o *fakeOperator) disturb(number int) {
	w := o.w
	names := slices.Sorted(maps.Keys(w.truth.jobs))
	switch w.rand.IntN(12) {
	case 0, 1, 2:
		name := w.create(number)
		o.stubborn[name] = w.rand.IntN(15) == 0
	case 3, 4, 5:
		w.end(w.rand.IntN(3) > 0)
	case 6:
		w.stopPods()
	case 7:
		if len(names) > 0 && w.rand.IntN(4) == 0 {
			w.remove(names[w.rand.IntN(len(names))])
		}
	case 8:
		if len(names) > 0 && w.rand.IntN(3) == 0 {
			job := w.truth.jobs[names[w.rand.IntN(len(names))]]
			job.cancelled = true
			w.change(kindWorkspaceJob, job.Name, func(o *objects) { o.jobs[job.Name] = job })
		}
	case 9:
		if w.rand.IntN(8) == 0 {
			w.limit = 1 + w.rand.IntN(4)
			for name := range w.cache.jobs {
				o.work[name] = true
			}
		}
	case 10:
		maps.Copy(o.work, o.later)
		clear(o.later)
	}
}

// TestWhatMustNeverHappen: more at once than the limit, two of a key, two runs of a
// series whose policy forbids it, an attempt beside another one of its job; and a job
// that could run and is forgotten.
func TestWhatMustNeverHappen(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := simulate(t, seed)
			for number := range 400 {
				o.disturb(number)
				for range o.w.rand.IntN(3) {
					o.hear(o.w.rand.IntN(kinds))
				}
				for range o.w.rand.IntN(3) {
					o.step()
				}
			}
			o.settle()
			for _, fault := range o.w.faults {
				t.Error(fault)
			}
			for name, job := range o.w.truth.jobs {
				if !job.final && !o.stubborn[name] && !o.behindStubborn(job) {
					t.Errorf("%s is forgotten: %+v", name, job)
				}
			}
		})
	}
}

// settle lets the world come to rest: the operator hears of everything and dies no
// more, and what runs ends. Nobody asks again by himself but for a cache that lags.
func (o *fakeOperator) settle() {
	o.mortal = false
	for moved, rounds := true, 0; moved; rounds++ {
		if rounds > 100_000 {
			o.Fatal("it does not come to rest")
		}
		moved = false
		for kind := range kinds {
			moved = o.hear(kind) || moved
		}
		moved = o.step() || moved
		if len(o.later) > 0 {
			maps.Copy(o.work, o.later)
			clear(o.later)
			moved = true
		}
		if !moved {
			o.w.stopPods()
			// Each Job ends with a chance of one in two.
			for range 20 {
				moved = o.w.end(true) || moved
			}
			moved = moved || len(o.w.log[kindPod]) > o.w.seen[kindPod]
		}
	}
}

// behindStubborn: its series waits for a run that can never start, and may.
func (o *fakeOperator) behindStubborn(job jobObject) bool {
	for _, run := range o.w.truth.unfinished(job.Series) {
		if job.Series != "" && o.stubborn[run.Name] {
			return true
		}
	}
	return false
}
