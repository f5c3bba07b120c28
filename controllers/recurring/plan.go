package recurring

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/schedule"
)

// nextDelay is how long after a run was due the status shows the next one, even if
// Kubernetes has created no Job.
const nextDelay = 5 * time.Second

// plan is a schedule in the form that a CronJob has.
type plan struct {
	*schedule.Schedule
	zone string
}

// planOf returns the schedule that the spec wants. If the spec is invalid, it is the
// last valid one, or nil if there is none.
func planOf(o observed) (wanted *plan, invalid error) {
	spec := o.recurring.Spec
	parsed, invalid := schedule.Parse(spec.Schedule, spec.TimeZone, o.recurring.Namespace+"/"+o.recurring.Name)
	if invalid == nil {
		return &plan{parsed, spec.TimeZone}, nil
	}
	return keptBy(o.cronJob), invalid
}

// keptBy returns the schedule that the CronJob has now, or nil if there is none.
func keptBy(cronJob *batchv1.CronJob) *plan {
	if cronJob == nil || cronJob.Spec.TimeZone == nil {
		return nil
	}
	zone := *cronJob.Spec.TimeZone
	parsed, err := schedule.Parse(cronJob.Spec.Schedule, zone, "")
	if err != nil {
		return nil
	}
	return &plan{parsed, zone}
}

// decideNext puts the schedule in force and its next time into the status.
func decideNext(o observed, d *decision, kept *plan) {
	d.status.NextScheduledAt, d.status.Schedule = nil, ""
	if kept == nil {
		return
	}
	d.status.Schedule = kept.String()
	if suspended(o.cronJob) {
		return
	}
	next := kept.Upcoming(countsFrom(o.cronJob), o.now)
	if next.IsZero() {
		return
	}
	d.status.NextScheduledAt = new(metav1.NewTime(next.UTC()))
	d.recheck(next.Sub(o.now) + nextDelay)
}

// countsFrom returns the time from which Kubernetes computes the CronJob's next one.
func countsFrom(cronJob *batchv1.CronJob) time.Time {
	if last := cronJob.Status.LastScheduleTime; last != nil {
		return last.Time
	}
	return cronJob.CreationTimestamp.Time
}
