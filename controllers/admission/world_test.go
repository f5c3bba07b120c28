package admission

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// The kinds of objects that a cache watches, each by itself.
const (
	kindWorkspaceJob = iota
	kindJob
	kindPod
	kinds
)

// begin is when the simulation begins.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// jobObject is a WorkspaceJob.
type jobObject struct {
	Entry
	// enqueued and attempts are what the status tells; underWay: of the last attempt
	// no end is told.
	enqueued, underWay, final bool
	attempts                  int
	// cancelled is in the spec.
	cancelled bool
}

// attemptObject is a Job, or its pod.
type attemptObject struct {
	Occupant
	finished, succeeded bool
}

// objects as somebody sees them.
type objects struct {
	jobs     map[string]jobObject
	attempts map[string]attemptObject
	pods     map[string]attemptObject
}

func nothing() *objects {
	return &objects{map[string]jobObject{}, map[string]attemptObject{}, map[string]attemptObject{}}
}

// change of one object.
type change struct {
	about string // the WorkspaceJob that it concerns
	apply func(*objects)
}

// world is a namespace: what the API server holds, and a cache that lags behind it,
// each kind by itself, and never goes back.
type world struct {
	rand   *rand.Rand
	truth  *objects
	cache  *objects
	log    [kinds][]change
	seen   [kinds]int
	target *[kinds]int // what a new operator's cache has to reach
	limit  int
	now    time.Time
	faults []string
	// unheard are changes that the cache got in the middle of a question.
	unheard []string
}

func newWorld(seed uint64) *world {
	return &world{rand: rand.New(rand.NewPCG(seed, seed)), truth: nothing(), cache: nothing(), limit: 3, now: begin}
}

func (w *world) change(kind int, about string, apply func(*objects)) {
	apply(w.truth)
	w.log[kind] = append(w.log[kind], change{about, apply})
}

// tell the cache of the next change of a kind; "": there is none.
func (w *world) tell(kind int) string {
	if w.seen[kind] == len(w.log[kind]) {
		return ""
	}
	next := w.log[kind][w.seen[kind]]
	next.apply(w.cache)
	w.seen[kind]++
	return next.about
}

// tellSoon: the cache moves on between two looks at it, too.
func (w *world) tellSoon() {
	if w.rand.IntN(3) == 0 {
		if about := w.tell(w.rand.IntN(kinds)); about != "" {
			w.unheard = append(w.unheard, about)
		}
	}
}

// forget is a new operator's start: its cache comes from an API server that may lag
// behind what the operator before it has seen.
func (w *world) forget() {
	w.cache, w.target = nothing(), nil
	for kind := range kinds {
		w.seen[kind] = 0
		for range len(w.log[kind]) - w.rand.IntN(min(len(w.log[kind]), 6)+1) {
			w.tell(kind)
		}
	}
}

func (w *world) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// Fresh is part of Source.
func (w *world) Fresh(context.Context, string) (bool, error) {
	if w.target == nil {
		w.target = &[kinds]int{}
		for kind := range kinds {
			w.target[kind] = len(w.log[kind])
		}
	}
	for kind := range kinds {
		if w.seen[kind] < w.target[kind] {
			return false, nil
		}
	}
	return true, nil
}

// Current is part of Source. Whoever asks here has looked just before.
func (w *world) Current(context.Context, string, Entry) (bool, error) { return true, nil }

// Waiting is part of Source.
func (w *world) Waiting(context.Context, string) ([]Entry, error) {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(w.cache.jobs)) {
		if job := w.cache.jobs[name]; job.enqueued && !job.final && !job.underWay {
			entries = append(entries, entryOf(job))
		}
	}
	return entries, nil
}

func entryOf(job jobObject) Entry {
	e := job.Entry
	e.Job = attemptName(job.Name, job.attempts+1)
	e.TakenUp = job.attempts > 0
	return e
}

func attemptName(job string, number int) string { return fmt.Sprintf("%s-%d", job, number) }

// Occupants is part of Source.
func (w *world) Occupants(context.Context, string) ([]Occupant, error) {
	defer w.tellSoon()
	return w.cache.processing(), nil
}

// processing are the jobs with an unfinished Job or a pod.
func (o *objects) processing() []Occupant {
	by := map[string]Occupant{}
	for _, a := range o.attempts {
		if !a.finished {
			by[a.Name] = a.Occupant
		}
	}
	for _, p := range o.pods {
		by[p.Name] = p.Occupant
	}
	return slices.Collect(maps.Values(by))
}

// Started is part of Source.
func (w *world) Started(_ context.Context, _, job string) (bool, error) {
	_, ok := w.cache.attempts[job]
	return ok, nil
}

// Shown is part of Source.
func (w *world) Shown(_ context.Context, _, job string) (bool, error) {
	defer w.tellSoon()
	attempt, ok := w.cache.attempts[job]
	_, pod := w.cache.pods[job]
	return ok && (attempt.finished || pod), nil
}

// Unfinished is part of Source.
func (w *world) Unfinished(_ context.Context, _, series string) ([]Run, error) {
	return w.cache.unfinished(series), nil
}

func (o *objects) unfinished(series string) []Run {
	var runs []Run
	for _, job := range o.jobs {
		_, started := o.attempts[attemptName(job.Name, job.attempts+1)]
		if job.Series != series || job.final || !job.enqueued && !started {
			continue
		}
		runs = append(runs, Run{Name: job.Name, TakenUp: started || job.attempts > 0, Due: job.Due, Created: job.Created})
	}
	return runs
}

// create a WorkspaceJob that is due now.
func (w *world) create(number int) string {
	w.now = w.now.Add(time.Duration(w.rand.IntN(3)) * time.Second)
	name := fmt.Sprintf("job-%03d", number)
	job := jobObject{Entry: Entry{Name: name, Priority: int32(w.rand.IntN(3)), Due: w.now, Created: w.now, Policy: v1alpha1.PolicyAllow}}
	switch w.rand.IntN(4) {
	case 0:
		job.Key = fmt.Sprintf("key-%d", w.rand.IntN(2))
	case 1:
		policies := []v1alpha1.ConcurrencyPolicy{v1alpha1.PolicyForbid, v1alpha1.PolicyAllow, v1alpha1.PolicyReplace, v1alpha1.PolicyQueue}
		which := w.rand.IntN(len(policies))
		job.Series, job.Policy = string(policies[which]), policies[which]
	}
	w.change(kindWorkspaceJob, name, func(o *objects) { o.jobs[name] = job })
	return name
}

// start is what the API server does with an attempt's Job; it checks what must never
// happen.
func (w *world) start(e Entry) {
	if _, exists := w.truth.attempts[e.Job]; exists {
		return // AlreadyExists
	}
	for _, o := range w.truth.processing() {
		if o.Name == e.Name {
			w.fault("%s starts, and an earlier attempt of it has not stopped", e.Job)
		}
		if e.Key != "" && o.Key == e.Key {
			w.fault("%s starts, and %s with the same key %q is processing", e.Job, o.Name, e.Key)
		}
	}
	if n := len(w.truth.processing()) + 1; n > w.limit {
		w.fault("%s starts as number %d, and the limit is %d", e.Job, n, w.limit)
	}
	if e.Series != "" && !e.TakenUp && e.Policy != v1alpha1.PolicyAllow {
		for _, run := range w.truth.unfinished(e.Series) {
			if run.TakenUp && run.Name != e.Name {
				w.fault("%s starts, and the run %s of the series %s is unfinished", e.Job, run.Name, e.Series)
			}
		}
	}
	attempt := attemptObject{Occupant: Occupant{Name: e.Name, Key: e.Key}}
	w.change(kindJob, e.Name, func(o *objects) { o.attempts[e.Job] = attempt })
	w.change(kindPod, e.Name, func(o *objects) { o.pods[e.Job] = attempt })
}

// end some Job: its pod stops, and then it has finished.
func (w *world) end(succeeded bool) bool {
	for _, name := range slices.Sorted(maps.Keys(w.truth.attempts)) {
		attempt := w.truth.attempts[name]
		if attempt.finished || w.rand.IntN(2) == 0 {
			continue
		}
		attempt.finished, attempt.succeeded = true, succeeded
		w.change(kindPod, attempt.Name, func(o *objects) { delete(o.pods, name) })
		w.change(kindJob, attempt.Name, func(o *objects) { o.attempts[name] = attempt })
		return true
	}
	return false
}

// remove a WorkspaceJob: its Jobs go with it, its pods only some time later.
func (w *world) remove(name string) {
	w.change(kindWorkspaceJob, name, func(o *objects) { delete(o.jobs, name) })
	for _, job := range slices.Sorted(maps.Keys(w.truth.attempts)) {
		if w.truth.attempts[job].Name == name {
			w.change(kindJob, name, func(o *objects) { delete(o.attempts, job) })
		}
	}
}

// stopPods of WorkspaceJobs that are gone.
func (w *world) stopPods() {
	for _, job := range slices.Sorted(maps.Keys(w.truth.pods)) {
		name := w.truth.pods[job].Name
		if _, exists := w.truth.jobs[name]; !exists {
			w.change(kindPod, name, func(o *objects) { delete(o.pods, job) })
		}
	}
}
