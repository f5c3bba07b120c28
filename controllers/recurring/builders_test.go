package recurring

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

// noon is when the tests' recurring job was created; it is due each hour.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the time that is this many minutes after noon.
func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func when(minutes int) *metav1.Time { return new(metav1.NewTime(at(minutes))) }

// scene is a recurring job with everything that belongs to it.
type scene struct{ observed }

// hourly has a CronJob as the operator applied it at noon.
func hourly() *scene {
	s := &scene{observed{
		now: at(0),
		recurring: objects.MakeWorkspaceRecurringJob("daily").In("workspace-acme").UID("uid-daily").Generation(1).
			Schedule("0 * * * *", "Etc/UTC").Policy(v1alpha1.PolicyForbid).
			With(func(r *v1alpha1.WorkspaceRecurringJob) { r.Status.ObservedGeneration = -1 }).Obj(),
		workspace: objects.MakeWorkspace("acme").Holds("workspace-acme").Obj(),
	}}
	s.cronJob = s.decide().apply
	s.cronJob.UID, s.cronJob.CreationTimestamp, s.cronJob.Generation = "uid-cronjob", *when(0), 1
	s.recurring.Status.CronJobGeneration = 1
	return s
}

// decide first clears up all doubts: the API server has what was observed.
func (s *scene) decide() decision {
	o := s.observed
	for range maxRounds {
		d := decide(o)
		if !d.doubts.any() {
			return d
		}
		o.verified.note(d.doubts)
	}
	panic("a decision's doubts do not end")
}

func (s *scene) at(minutes int) *scene { s.now = at(minutes); return s }

func (s *scene) deadline(d time.Duration) *scene {
	s.recurring.Spec.StartingDeadline = &v1alpha1.Duration{Duration: d}
	s.cronJob = s.decide().apply
	s.cronJob.Generation = s.recurring.Status.CronJobGeneration
	return s
}

func (s *scene) status(change func(*v1alpha1.WorkspaceRecurringJobStatus)) *scene {
	change(&s.recurring.Status)
	return s
}

func runName(minutes int) string { return fmt.Sprintf("daily-%d", at(minutes).Unix()/60) }

// tick is the Job that Kubernetes creates for a time, once the Job controller has noted
// that it is suspended.
func (s *scene) tick(minutes int) *scene {
	annotations := map[string]string{
		batchv1.CronJobScheduledTimestampAnnotation: at(minutes).Format(time.RFC3339),
		v1alpha1.AnnotationTemplate:                 `{"handler":"sql"}`,
		v1alpha1.AnnotationScheduleSince:            s.cronJob.Annotations[v1alpha1.AnnotationScheduleSince],
	}
	s.ticks = append(s.ticks, batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: runName(minutes), Annotations: annotations, CreationTimestamp: *when(minutes)},
		Spec:       batchv1.JobSpec{Suspend: new(true)},
		Status:     batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}},
	})
	return s
}

// started marks the last tick as one that its run has started.
func (s *scene) started() *scene {
	last := &s.ticks[len(s.ticks)-1]
	last.Annotations[v1alpha1.AnnotationJobUID] = last.Name
	last.Spec.Suspend = new(false)
	return s
}

// run is the WorkspaceJob of a time's tick.
func (s *scene) run(minutes int, state v1alpha1.JobState, reason string) *scene {
	run := runOf(s.recurring, occurrence{at: at(minutes), name: runName(minutes), tick: &batchv1.Job{}})
	run.UID = types.UID(run.Name)
	run.CreationTimestamp = *when(min(minutes, int(s.now.Sub(noon).Minutes())))
	run.Status.State = state
	if state.Final() {
		run.Status.FinishedAt = when(minutes + 1)
		run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
	}
	s.runs = append(s.runs, run)
	return s
}

// acted is the scene once the runs that were due are created.
func (s *scene) acted(d decision) *scene {
	next := *s
	next.runs = slices.Clone(s.runs)
	for _, run := range d.create {
		run.UID, run.CreationTimestamp = types.UID(run.Name), metav1.NewTime(s.now)
		next.runs = append(next.runs, run)
	}
	return &next
}

// written is the scene once the status is written and what it no longer needs is
// removed.
func (s *scene) written(d decision) *scene {
	next := *s
	next.recurring = s.recurring.DeepCopy()
	next.recurring.Status = d.status
	next.runs = slices.DeleteFunc(slices.Clone(s.runs), func(run v1alpha1.WorkspaceJob) bool {
		return slices.ContainsFunc(d.removeRuns, func(gone v1alpha1.WorkspaceJob) bool { return gone.Name == run.Name })
	})
	next.ticks = slices.DeleteFunc(slices.Clone(s.ticks), func(tick batchv1.Job) bool {
		return slices.ContainsFunc(d.removeTicks, func(gone batchv1.Job) bool { return gone.Name == tick.Name })
	})
	return &next
}
