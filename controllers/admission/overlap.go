package admission

import (
	"cmp"
	"slices"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// obstacle keeps a job from starting; the zero value is none.
type obstacle struct {
	reason string
	// by names the run in the way.
	by string
	// final means that the run must not start at all.
	final bool
}

// overlap returns what the policy of e's series makes of the other unfinished runs.
func overlap(e *Entry, runs []Run) obstacle {
	if e.Series == "" || e.HasAttempt || e.Policy == v1alpha1.PolicyAllow {
		return obstacle{}
	}
	earlier := earlierThan(e, runs)
	if len(earlier) == 0 {
		return obstacle{}
	}
	// Name a run that has started, rather than one that waits for it too.
	by := earlier[0].Name
	waiting := 0
	for _, run := range slices.Backward(earlier) {
		if run.HasAttempt {
			by = run.Name
			continue
		}
		waiting++
	}
	switch {
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

// earlierThan returns the runs that come before e: those that had an attempt, and those that
// became due before it.
func earlierThan(e *Entry, runs []Run) []Run {
	self := Run{Name: e.Name, Due: e.Due, Created: e.Created}
	var earlier []Run
	for _, run := range runs {
		if run.Name != e.Name && (run.HasAttempt || Older(run, self)) {
			earlier = append(earlier, run)
		}
	}
	slices.SortFunc(earlier, compareRuns)
	return earlier
}

// Older reports whether a became due before b.
func Older(a, b Run) bool { return compareRuns(a, b) < 0 }

func compareRuns(a, b Run) int {
	return cmp.Or(a.Due.Compare(b.Due), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}
