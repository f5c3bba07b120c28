package recurring

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// grace is how long Kubernetes may take to make a Job that is due.
	grace = 30 * time.Second
	// maxMissed bounds how many missed runs are counted at one look: those of ten
	// weeks of a schedule of every minute.
	maxMissed = 100_000
)

// decideTicks makes a run of each Job that the schedule has made, in the order of
// their times, and counts what was missed.
func decideTicks(o observed, d *decision, kept *plan) {
	mark := markOf(o)
	unfinished := unfinishedOf(o)
	for _, c := range occasionsOf(o) {
		f := fateOf(o, c)
		if f == fateDue && unfinished+len(d.adopt) >= maxActive {
			d.crowded, f = true, fateWaits
		}
		if f == fateWaits {
			return
		}
		if nobodys(c, f) {
			d.removeTicks = append(d.removeTicks, *c.tick)
		}
		if f == fateTold || f == fateEarly {
			continue
		}
		missBetween(d, kept, mark, c.at)
		mark = latest(mark, c.at)
		follow(o, d, c, f)
	}
	giveUp(o, d, kept, mark)
}

// follow an occasion to its fate.
func follow(o observed, d *decision, c occasion, f fate) {
	switch f {
	case fateRun:
		d.told[c.name] = true
		d.status.LastScheduledAt = new(metav1.NewTime(c.at))
	case fateDue:
		d.adopt = append(d.adopt, runOf(o.recurring, c))
		d.status.LastScheduledAt = new(metav1.NewTime(c.at))
	case fateByHand:
		d.byHand = append(d.byHand, c.name)
		miss(d, c.at, 1)
	default:
		if o.refusals[c.name].taken {
			d.taken = append(d.taken, c.name)
		}
		miss(d, c.at, 1)
	}
}

// giveUp on times whose Jobs Kubernetes will not make any more.
func giveUp(o observed, d *decision, kept *plan, mark time.Time) {
	deadline := o.recurring.Spec.StartingDeadline
	if deadline == nil || o.cronJob == nil || suspended(o.cronJob) || kept == nil {
		return
	}
	patience := deadline.Duration + grace
	missBetween(d, kept, mark, o.now.Add(-patience))
	mark = latest(mark, timeOf(d.status.LastMissedAt))
	if next := kept.Next(mark); !next.IsZero() && next.Before(o.now) {
		d.look(next.Add(patience + time.Second).Sub(o.now))
	}
}

// markOf is the time up to which all is told: what was due after it and has neither
// tick nor run was missed. Nothing is due before the schedule is in place, or while
// it is suspended.
func markOf(o observed) time.Time {
	mark := toldOf(&o.recurring.Status)
	if o.cronJob != nil {
		mark = latest(mark, annotatedTime(o.cronJob, v1alpha1.AnnotationScheduleSince))
		mark = latest(mark, annotatedTime(o.cronJob, v1alpha1.AnnotationRunningSince))
	}
	return mark
}

// missBetween counts the times that came after one and before another, and had no
// run.
func missBetween(d *decision, kept *plan, after, before time.Time) {
	if kept == nil {
		return
	}
	if missed := kept.Between(after, before, maxMissed); len(missed) > 0 {
		miss(d, missed[len(missed)-1], len(missed))
	}
}

func miss(d *decision, at time.Time, n int) {
	d.status.MissedRuns += int64(n)
	d.status.LastMissedAt = new(metav1.NewTime(latest(timeOf(d.status.LastMissedAt), at.UTC())))
}
