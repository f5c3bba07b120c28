package recurring

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// grace is how long Kubernetes may take to create a Job that is due.
	grace = 30 * time.Second
	// maxMissed bounds how many missed runs are counted at once: ten weeks of a schedule
	// that is due every minute.
	maxMissed = 100_000
)

// giveUp counts as missed the times for which Kubernetes will not create a Job any more.
func giveUp(o observed, d *decision, kept *plan, counted time.Time) {
	deadline := o.recurring.Spec.StartingDeadline
	if deadline == nil || o.cronJob == nil || suspended(o.cronJob) || kept == nil {
		return
	}
	patience := deadline.Duration + grace
	missBetween(d, kept, counted, o.now.Add(-patience))
	counted = latest(counted, timeOf(d.status.LastMissedAt))
	if next := kept.Next(counted); !next.IsZero() && next.Before(o.now) {
		d.recheck(next.Add(patience + time.Second).Sub(o.now))
	}
}

// countedUntil returns the time up to which all missed runs are counted. What was due after
// it and has neither tick nor run was missed. Nothing is due before the schedule is in
// force, or while it is suspended.
func countedUntil(o observed) time.Time {
	until := reportedUntil(&o.recurring.Status)
	if o.cronJob != nil {
		until = latest(until, annotatedTime(o.cronJob, v1alpha1.AnnotationScheduleSince))
		until = latest(until, annotatedTime(o.cronJob, v1alpha1.AnnotationRunningSince))
	}
	return until
}

// missBetween counts as missed the schedule's times after one time and before another.
func missBetween(d *decision, kept *plan, after, before time.Time) {
	if kept == nil {
		return
	}
	if times := kept.Between(after, before, maxMissed); len(times) > 0 {
		miss(d, times[len(times)-1], len(times))
	}
}

func miss(d *decision, at time.Time, n int) {
	d.status.MissedRuns += int64(n)
	d.status.LastMissedAt = new(metav1.NewTime(latest(timeOf(d.status.LastMissedAt), at.UTC())))
}
