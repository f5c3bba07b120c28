package recurring

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// skew is how far the clock of whoever made a tick may be ahead.
const skew = time.Minute

// occasion is a time at which the schedule was due: the Job that Kubernetes made
// for it, the tick, and the run. One of them may be missing.
type occasion struct {
	at   time.Time
	name string
	tick *batchv1.Job
	run  *v1alpha1.WorkspaceJob
}

// fate is what becomes of an occasion at this look.
type fate int

const (
	// fateTold: an earlier look has told of it.
	fateTold fate = iota
	// fateRun: it has its run, which the status doesn't tell of yet.
	fateRun
	// fateEarly: it was never due: Kubernetes fires at once when a schedule is
	// changed to one whose time has just passed.
	fateEarly
	// fateMissed: it can't start any more.
	fateMissed
	// fateByHand: somebody has started the Job around the queue. It tells its pod of
	// no run, so it does nothing; it is that person's, and the run was missed.
	fateByHand
	// fateWaits: its run can't be made now, and those after it wait too.
	fateWaits
	// fateDue: its run is to be made.
	fateDue
)

func fateOf(o observed, c occasion) fate {
	refused, isRefused := o.refusals[c.name]
	switch {
	case !c.at.After(toldOf(&o.recurring.Status)):
		return fateTold
	case c.run != nil || c.tick.Annotations[v1alpha1.AnnotationJobUID] != "":
		return fateRun
	case !waiting(c.tick):
		return fateByHand
	case c.at.Before(annotatedTime(c.tick, v1alpha1.AnnotationScheduleSince)):
		return fateEarly
	case late(o, c.at) || refused.taken:
		return fateMissed
	case isRefused || o.workspace == nil:
		return fateWaits
	default:
		return fateDue
	}
}

// nobodys: the occasion's tick is there, and neither has a run nor will get one.
func nobodys(c occasion, f fate) bool {
	if c.tick == nil {
		return false
	}
	if run := c.tick.Annotations[v1alpha1.AnnotationJobUID]; run != "" {
		return c.run == nil || string(c.run.UID) != run
	}
	if !waiting(c.tick) {
		return false
	}
	if c.run != nil {
		// Its run can't start a Job that doesn't say what it runs: it makes its own.
		_, readable := templateOf(c.tick)
		return !readable
	}
	return f == fateTold || f == fateEarly || f == fateMissed
}

// occasionsOf are the ticks with their runs, oldest first, and the runs whose ticks
// are gone.
func occasionsOf(o observed) []occasion {
	of := map[string]*occasion{}
	for i := range o.ticks {
		job := &o.ticks[i]
		of[job.Name] = &occasion{at: scheduledAt(job), name: job.Name, tick: job}
	}
	for i := range o.runs {
		run := &o.runs[i]
		if !metav1.IsControlledBy(run, o.recurring) {
			continue
		}
		if c := of[run.Name]; c != nil {
			c.run = run
			continue
		}
		// Anybody can annotate a WorkspaceJob; a time to come would hide all ticks
		// before it.
		if at, ok := run.ScheduledAt(); ok && run.Name == tickName(o.recurring, at) && at.Before(o.now.Add(skew)) {
			of[run.Name] = &occasion{at: at, name: run.Name, run: run}
		}
	}
	occasions := make([]occasion, 0, len(of))
	for c := range maps.Values(of) {
		occasions = append(occasions, *c)
	}
	slices.SortFunc(occasions, func(a, b occasion) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	return occasions
}

// tickName is what Kubernetes calls the Job that a CronJob makes for a time.
func tickName(recurring *v1alpha1.WorkspaceRecurringJob, at time.Time) string {
	return fmt.Sprintf("%s-%d", recurring.Name, at.Unix()/60)
}

func scheduledAt(tick *batchv1.Job) time.Time {
	if at := annotatedTime(tick, batchv1.CronJobScheduledTimestampAnnotation); !at.IsZero() {
		return at
	}
	return tick.CreationTimestamp.Time
}

// waiting: nobody has started it.
func waiting(tick *batchv1.Job) bool {
	return tick.Annotations[v1alpha1.AnnotationJobUID] == "" && tick.Spec.Suspend != nil && *tick.Spec.Suspend && runnerjob.Finished(tick) == nil
}

func late(o observed, at time.Time) bool {
	deadline := o.recurring.Spec.StartingDeadline
	return deadline != nil && o.now.Sub(at) > deadline.Duration
}

// templateOf is what the schedule said when it fired.
func templateOf(tick *batchv1.Job) (template v1alpha1.JobTemplate, readable bool) {
	err := json.Unmarshal([]byte(tick.Annotations[v1alpha1.AnnotationTemplate]), &template)
	return template, err == nil && template.Handler != ""
}

// runOf is the WorkspaceJob of an occasion.
func runOf(recurring *v1alpha1.WorkspaceRecurringJob, c occasion) v1alpha1.WorkspaceJob {
	template, readable := templateOf(c.tick)
	if !readable {
		template = *recurring.Spec.Template.DeepCopy()
	}
	labels := map[string]string{v1alpha1.LabelRecurringJob: recurring.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if ws := c.tick.Labels[v1alpha1.LabelWorkspace]; ws != "" {
		labels[v1alpha1.LabelWorkspace] = ws
	}
	return v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: c.name, Namespace: recurring.Namespace, Labels: labels,
			Annotations:     map[string]string{v1alpha1.AnnotationScheduledAt: c.at.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(recurring, v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))},
		},
		Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template},
	}
}

// annotatedTime is zero if the annotation is missing or no time.
func annotatedTime(object metav1.Object, annotation string) time.Time {
	at, err := time.Parse(time.RFC3339, object.GetAnnotations()[annotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

// toldOf is the time up to which the status tells of every occasion.
func toldOf(status *v1alpha1.WorkspaceRecurringJobStatus) time.Time {
	return latest(timeOf(status.LastScheduledAt), timeOf(status.LastMissedAt))
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
