package recurring

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// grace is how long Kubernetes may take to make a Job that is due.
	grace = 30 * time.Second
	// maxMissed bounds how many missed runs are counted at one look.
	maxMissed = 1000
)

// tick is a Job that the schedule made.
type tick struct {
	job *batchv1.Job
	at  time.Time
	run *v1alpha1.WorkspaceJob // nil: there is none
}

// decideTicks makes a run of each Job that the schedule has made, in the order of
// their times, and counts what was missed.
func decideTicks(o observed, d *decision, kept *plan) {
	if o.cronJob == nil || o.workspace == nil {
		return
	}
	mark := markOf(o)
	for _, t := range ticksOf(o) {
		switch {
		case t.run != nil:
			if t.at.After(timeOf(d.status.LastScheduledAt)) {
				missBetween(d, kept, mark, t.at)
				d.status.LastScheduledAt = new(metav1.NewTime(t.at))
			}
		case t.job.Annotations[v1alpha1.AnnotationJobUID] != "":
			// Its run is gone, and nobody needs what is left of it.
			d.removeTicks = append(d.removeTicks, *t.job)
		case t.job.Spec.Suspend == nil || !*t.job.Spec.Suspend:
			// Somebody has started it by hand, around the queue. It is not ours.
		case !due(o, d, t):
			d.removeTicks = append(d.removeTicks, *t.job)
		case !adopt(o, d, t, kept, mark):
			return
		}
		mark = latest(mark, t.at)
	}
	giveUp(o, d, kept, mark)
}

// giveUp on times whose Jobs Kubernetes will not make any more.
func giveUp(o observed, d *decision, kept *plan, mark time.Time) {
	deadline := o.recurring.Spec.StartingDeadline
	if deadline == nil || o.recurring.Spec.Suspend || d.apply != nil || kept == nil {
		return
	}
	patience := deadline.Duration + grace
	missBetween(d, kept, mark, o.now.Add(-patience))
	mark = latest(mark, timeOf(d.status.LastMissedAt))
	if waiting := kept.Next(mark); !waiting.IsZero() && waiting.Before(o.now) {
		d.look(waiting.Add(patience + time.Second).Sub(o.now))
	}
}

// ticksOf are the CronJob's Jobs with their runs, oldest first.
func ticksOf(o observed) []tick {
	runs := map[string]*v1alpha1.WorkspaceJob{}
	for i := range o.runs {
		if metav1.IsControlledBy(&o.runs[i], o.recurring) {
			runs[o.runs[i].Name] = &o.runs[i]
		}
	}
	ticks := make([]tick, 0, len(o.ticks))
	for i := range o.ticks {
		job := &o.ticks[i]
		ticks = append(ticks, tick{job: job, at: scheduledAt(job), run: runs[job.Name]})
	}
	slices.SortFunc(ticks, func(a, b tick) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.job.Name, b.job.Name)) })
	return ticks
}

// unseen names the runs that were made, by all that is known, and are not among
// those that were observed.
func unseen(o observed) []string {
	seen := map[string]bool{}
	for i := range o.runs {
		seen[o.runs[i].Name] = true
	}
	names := slices.Clone(o.recurring.Status.Active)
	told := latest(timeOf(o.recurring.Status.LastScheduledAt), timeOf(o.recurring.Status.LastMissedAt))
	for i := range o.ticks {
		if job := &o.ticks[i]; job.Annotations[v1alpha1.AnnotationJobUID] != "" || !scheduledAt(job).After(told) {
			names = append(names, job.Name)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return seen[name] })
}

func scheduledAt(job *batchv1.Job) time.Time {
	at, err := time.Parse(time.RFC3339, job.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
	if err != nil {
		return job.CreationTimestamp.Time
	}
	return at
}

// due: the Job's time came under the schedule as it is, and is not past all
// usefulness. One that Kubernetes made because a changed schedule would have been
// due before the change was never due; one that an earlier look has told of is a
// leftover.
func due(o observed, d *decision, t tick) bool {
	since, err := time.Parse(time.RFC3339, t.job.Annotations[v1alpha1.AnnotationScheduleSince])
	told := latest(timeOf(d.status.LastScheduledAt), timeOf(d.status.LastMissedAt))
	if err == nil && t.at.Before(since) || !t.at.After(told) {
		return false
	}
	if deadline := o.recurring.Spec.StartingDeadline; deadline != nil && o.now.Sub(t.at) > deadline.Duration {
		miss(d, t.at, 1)
		return false
	}
	return true
}

// adopt makes the tick's run; false: the API server has refused it, and those after
// it wait.
func adopt(o observed, d *decision, t tick, kept *plan, mark time.Time) bool {
	why, refused := o.refusals[t.job.Name]
	switch {
	case refused && why.taken:
		d.taken = t.job.Name
		d.removeTicks = append(d.removeTicks, *t.job)
		miss(d, t.at, 1)
		return true
	case refused:
		return false
	}
	missBetween(d, kept, mark, t.at)
	d.adopt = append(d.adopt, runOf(o.recurring, t))
	d.status.LastScheduledAt = new(metav1.NewTime(t.at))
	return true
}

// runOf is the WorkspaceJob of a tick. It runs what the schedule said when it fired.
func runOf(recurring *v1alpha1.WorkspaceRecurringJob, t tick) v1alpha1.WorkspaceJob {
	template := v1alpha1.JobTemplate{}
	if err := json.Unmarshal([]byte(t.job.Annotations[v1alpha1.AnnotationTemplate]), &template); err != nil || template.Handler == "" {
		template = *recurring.Spec.Template.DeepCopy()
	}
	return v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: t.job.Name, Namespace: recurring.Namespace,
			Labels:          map[string]string{v1alpha1.LabelRecurringJob: recurring.Name},
			Annotations:     map[string]string{v1alpha1.AnnotationScheduledAt: t.at.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(recurring, v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))},
		},
		Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template},
	}
}

// markOf is the time up to which all is told: what was due after it and has no run
// was missed. Nothing is due before the schedule is in place, or while it is
// suspended.
func markOf(o observed) time.Time {
	mark := latest(timeOf(o.recurring.Status.LastScheduledAt), timeOf(o.recurring.Status.LastMissedAt))
	for _, annotation := range []string{v1alpha1.AnnotationScheduleSince, v1alpha1.AnnotationRunningSince} {
		if at, err := time.Parse(time.RFC3339, o.cronJob.Annotations[annotation]); err == nil {
			mark = latest(mark, at)
		}
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

func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
