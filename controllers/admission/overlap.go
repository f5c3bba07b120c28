package admission

import (
	"cmp"
	"slices"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// obstacle keeps a job from starting; the zero value is none.
type obstacle struct {
	reason string
	// by names the run that keeps it from starting.
	by string
	// final means that the run must not start at all.
	final bool
}

// series is the unfinished runs of a recurring job, sorted once, so that a question about
// each of thousands of runs is answered without going through all of them.
type series struct {
	// attempted had an attempt, waiting had none; both are sorted, oldest first.
	attempted, waiting []Run
	byName             map[string]Run
}

func sortedSeries(runs []Run) *series {
	s := &series{byName: make(map[string]Run, len(runs))}
	for _, run := range runs {
		s.byName[run.Name] = run
		if run.HasAttempt {
			s.attempted = append(s.attempted, run)
			continue
		}
		s.waiting = append(s.waiting, run)
	}
	slices.SortFunc(s.attempted, compareRuns)
	slices.SortFunc(s.waiting, compareRuns)
	return s
}

// earlier returns which runs come before e: those that had an attempt, and those that became
// due before it. It names the oldest one that had an attempt, rather than one that waits for
// that too, and counts those that wait. It names none if e is the first.
func (s *series) earlier(e *Entry) (by string, waiting int) {
	self := Run{Name: e.Name, Due: e.Due, Created: e.Created}
	waiting, _ = slices.BinarySearchFunc(s.waiting, self, compareRuns)
	by = cmp.Or(firstBut(e.Name, s.attempted), firstBut(e.Name, s.waiting[:waiting]))
	// The cache may show e itself as it was before.
	if cached, ok := s.byName[e.Name]; ok && !cached.HasAttempt && Older(cached, self) {
		waiting--
	}
	return by, waiting
}

// firstBut returns the name of the first run of another name, or "".
func firstBut(name string, runs []Run) string {
	for _, run := range runs {
		if run.Name != name {
			return run.Name
		}
	}
	return ""
}

// overlap returns what the policy of e's series makes of the other unfinished runs.
func overlap(e *Entry, s *series) obstacle {
	by, waiting := s.earlier(e)
	switch {
	case by == "":
		return obstacle{}
	case e.Policy == v1alpha1.PolicyReplace:
		return obstacle{reason: v1alpha1.ReasonEarlierRunActive, by: by}
	case e.Policy == v1alpha1.PolicyQueue && waiting < v1alpha1.MaxQueuedRuns:
		return obstacle{reason: v1alpha1.ReasonEarlierRunActive, by: by}
	case e.Policy == v1alpha1.PolicyQueue:
		return obstacle{reason: v1alpha1.ReasonRunQueueFull, by: by, final: true}
	default:
		return obstacle{reason: v1alpha1.ReasonSkipped, by: by, final: true}
	}
}

// Older reports whether a became due before b.
func Older(a, b Run) bool { return compareRuns(a, b) < 0 }

func compareRuns(a, b Run) int {
	return cmp.Or(a.Due.Compare(b.Due), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}
