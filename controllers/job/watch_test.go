package job

import (
	"errors"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestARunWakesFewOthers checks a recurring job with many unfinished runs, each of which wakes
// others when it changes.
func TestARunWakesFewOthers(t *testing.T) {
	t.Parallel()
	const n = 200
	for policy, want := range map[v1alpha1.ConcurrencyPolicy]int{
		v1alpha1.PolicyAllow: 0, v1alpha1.PolicyForbid: wokenAtOnce, v1alpha1.PolicyReplace: wokenAtOnce, v1alpha1.PolicyQueue: wokenAtOnce,
	} {
		s := simulate(t, 1)
		series := "series-" + string(policy)
		for i := range n {
			job := &v1alpha1.WorkspaceJob{ObjectMeta: metaOf(fmt.Sprintf("run-%03d", i))}
			job.Spec.RecurringJobRef = &v1alpha1.RecurringJobRef{Name: series}
			job.Status.State, job.Status.EnqueuedAt = v1alpha1.StateEnqueued, when(n-i)
			if i == n/2 {
				job.Status.RunAttempts = 1
			}
			world.Add(s.w, job)
		}
		changes := s.w.HearAll("WorkspaceJob")
		before := changes[0].New.DeepCopyObject().(*v1alpha1.WorkspaceJob) //nolint:forcetypeassert // they are jobs
		before.Status.EnqueuedAt = nil
		clear(s.work)
		s.r.onRelatives().Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: changes[0].New}, &woken{work: s.work})
		if len(s.work) != want {
			t.Errorf("%s: %d of %d are woken, want %d", policy, len(s.work), n, want)
		}
		if want > 0 && (!s.work["run-100"] || !s.work["run-199"] || s.work["run-000"]) {
			t.Errorf("%s: not those that act first: %v", policy, s.work)
		}
	}
}

// TestAFullQuotaIsTriedByFew has many jobs wait while the quota is used up, and checks that only
// those with a slot try to start.
func TestAFullQuotaIsTriedByFew(t *testing.T) {
	t.Parallel()
	s := simulate(t, 1)
	s.mortal = false
	const slots = 3 // of the simulated workspace
	tries := map[string]bool{}
	c := s.w.Client()
	c.Refuse = func(object client.Object) error {
		tries[object.GetName()] = true
		return apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, object.GetName(), errors.New("exceeded quota: workspace-jobs"))
	}
	s.r.Client = c
	for i := range 30 {
		world.Add(s.w, &v1alpha1.WorkspaceJob{ObjectMeta: metaOf(fmt.Sprintf("job-%03d", i)), Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template()}})
	}
	for range 3 {
		for s.hear("WorkspaceJob") || s.step() {
			s.w.Sleep(time.Second)
		}
		for _, job := range world.AllCached[*v1alpha1.WorkspaceJob](s.w) {
			s.work[job.Name] = true
		}
	}
	if len(tries) != slots {
		t.Errorf("%d jobs have tried: %v", len(tries), tries)
	}
}

// TestAReleasedTickIsFoundUnderAnotherName has the operator die between starting a tick and
// writing the status, and a user remove the annotation that made the run a scheduled one.
func TestAReleasedTickIsFoundUnderAnotherName(t *testing.T) {
	t.Parallel()
	s := simulate(t, 1)
	s.mortal = false
	job := world.Add(s.w, &v1alpha1.WorkspaceJob{ObjectMeta: metaOf("daily-1"), Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template()}})
	tick := &batchv1.Job{ObjectMeta: metaOf("daily-1"), Spec: batchv1.JobSpec{Suspend: new(true)}}
	world.Add(s.w, released(tick, job, v1alpha1.Attempt{Number: 1, Run: 1, Job: "daily-1"}))
	s.comeToRest()
	job, _ = world.Get[*v1alpha1.WorkspaceJob](s.w, client.ObjectKeyFromObject(job))
	if attempts := job.Status.Attempts; len(attempts) == 0 || attempts[0].Job != "daily-1" {
		t.Errorf("%+v", attempts)
	}
	for _, child := range world.All[*batchv1.Job](s.w) {
		if child.Name == "daily-1-1" {
			t.Error("the first attempt has a second Job")
		}
	}
}
