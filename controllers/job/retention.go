package job

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

const (
	// defaultPods is the schema's default of retention.pods.
	defaultPods = 7 * 24 * time.Hour
	// awaitedRecheck is how often a job whose retention has passed is checked again while
	// a continuation has not seen its end.
	awaitedRecheck = time.Minute
)

// expire removes a finished job after its ttlAfterFinished or, without one, after the
// workspace's retention. A job stays until every continuation has seen its end, and until it
// is requeued at the time that its requeueAt names.
func expire(o observed, d *decision) {
	if again := o.job.RequeuedAfter(d.status.FinishedAt.Time); !again.IsZero() {
		d.recheck(again.Sub(o.now))
		return
	}
	ttl := timeToLive(o, d.status.State)
	if ttl == nil {
		return
	}
	left := d.status.FinishedAt.Add(ttl.Duration).Sub(o.now)
	if left <= 0 && o.awaited {
		left = awaitedRecheck
	}
	if left <= 0 {
		d.remove = true
		return
	}
	d.recheck(left)
}

func timeToLive(o observed, state v1alpha1.JobState) *v1alpha1.Duration {
	if own := o.job.TTLAfterFinished(); own != nil {
		return own
	}
	if o.workspace == nil || o.workspace.Spec.Retention == nil {
		return nil
	}
	if state == v1alpha1.StateFailed {
		return o.workspace.Spec.Retention.Failed
	}
	return o.workspace.Spec.Retention.Succeeded
}

// reap deletes Jobs whose retention has passed, and with them their pods and logs. A Job
// stays until the stored status reports how it ended.
func reap(o observed, d *decision) {
	if d.status.State.Final() && o.tick != nil {
		d.reap = append(d.reap, *o.tick)
	}
	if o.workspace == nil {
		return
	}
	keep := defaultPods
	if r := o.workspace.Spec.Retention; r != nil && r.Pods != nil {
		keep = r.Pods.Duration
	}
	for i := range o.ended {
		child := &o.ended[i]
		if !accounted(&o.job.Status, child) {
			continue
		}
		left := runnerjob.Over(child).LastTransitionTime.Add(keep).Sub(o.now)
		if left <= 0 {
			d.reap = append(d.reap, *child)
			continue
		}
		d.recheck(left)
	}
}

// accounted reports whether the status says how the Job's attempt ended, or has dropped that
// attempt because it keeps only the newest ones.
func accounted(status *v1alpha1.WorkspaceJobStatus, child *batchv1.Job) bool {
	at := slices.IndexFunc(status.Attempts, func(a v1alpha1.Attempt) bool { return a.Job == child.Name && a.JobUID == child.UID })
	if at >= 0 {
		return status.Attempts[at].FinishedAt != nil
	}
	return len(status.Attempts) == maxAttempts && child.CreationTimestamp.Before(&status.Attempts[0].CreatedAt)
}
