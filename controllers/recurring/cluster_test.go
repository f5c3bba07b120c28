package recurring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// In all of these tests the operator dies around every write.

// TestAMinutelyScheduleMakesRuns has Kubernetes itself keep the time.
func TestAMinutelyScheduleMakesRuns(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "minutely")
	c.yearly("heartbeat", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Schedule = "* * * * *" })
	r := c.waitUntil("heartbeat", "a run is due", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.LastScheduledAt != nil })
	at := r.Status.LastScheduledAt.UTC()
	name := fmt.Sprintf("heartbeat-%d", at.Unix()/60)
	run := c.run(name)
	if due, ok := run.ScheduledAt(); !ok || !due.Equal(at) {
		t.Errorf("the run says it was due at %s, not at %s", due, at)
	}
	if run.Spec.Handler != "sql" || run.Series() != "heartbeat" || !metav1.IsControlledBy(run, r) {
		t.Errorf("the run is %+v", run)
	}
	if next := r.Status.NextScheduledAt; next == nil || !next.After(at) || !next.Equal(new(metav1.NewTime(next.Truncate(time.Minute)))) {
		t.Errorf("the next run is due at %v", next)
	}
	if !slices.Contains(r.Status.Active, name) {
		t.Errorf("its status is %+v", r.Status)
	}
	c.nothingIsLost(r)
	tick := &batchv1.Job{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(run), tick); err != nil {
		t.Fatal(err)
	}
	if tick.Spec.Suspend == nil || !*tick.Spec.Suspend || tick.Labels[v1alpha1.LabelAttempt] != "" {
		t.Error("its Job has bypassed the queue")
	}
}

// nothingIsLost checks that each minute until the last run has a run or is counted as missed.
// On a busy machine Kubernetes may miss some.
func (c *clusterT) nothingIsLost(r *v1alpha1.WorkspaceRecurringJob) {
	c.Helper()
	since := annotatedTime(c.cronJob(r.Name), v1alpha1.AnnotationScheduleSince)
	last := r.Status.LastScheduledAt.Time
	// A run counts in the minute of since, if since is its first moment.
	minutes := last.Unix()/60 - since.Add(-time.Nanosecond).Unix()/60
	var runs v1alpha1.WorkspaceJobList
	if err := c.List(c.Context(), &runs, client.InNamespace(c.namespace)); err != nil {
		c.Fatal(err)
	}
	for i := range runs.Items {
		if at, scheduled := runs.Items[i].ScheduledAt(); scheduled && !at.After(last) {
			minutes--
		}
	}
	if minutes != r.Status.MissedRuns {
		c.Errorf("%d minutes had no run, and %d are counted as missed", minutes, r.Status.MissedRuns)
	}
}

func TestARunIsAccountedOnce(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "accounted")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	due := time.Now().Add(time.Minute)
	for i, state := range []v1alpha1.JobState{v1alpha1.StateFailed, v1alpha1.StateFailed, v1alpha1.StateDeleted, v1alpha1.StateSucceeded, v1alpha1.StateFailed} {
		reason := map[v1alpha1.JobState]string{v1alpha1.StateDeleted: v1alpha1.ReasonSkipped}[state]
		if reason == "" {
			reason = "Ended"
		}
		tick := c.fire("daily", due.Add(time.Duration(i)*time.Hour))
		c.waitUntil("daily", "its run is active", func(r *v1alpha1.WorkspaceRecurringJob) bool { return len(r.Status.Active) == 1 })
		c.end(tick.Name, state, reason)
		c.waitUntil("daily", "its run is accounted", func(r *v1alpha1.WorkspaceRecurringJob) bool { return len(r.Status.Active) == 0 })
	}
	s := c.get("daily").Status
	if s.ConsecutiveFailures != 1 || s.SkippedRuns != 1 || s.MissedRuns != 0 || s.LastSucceededAt == nil || s.LastRun.State != v1alpha1.StateFailed {
		t.Errorf("its status is %+v", s)
	}
}

func TestHistoryIsKept(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "history")
	c.yearly("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) {
		spec.History = &v1alpha1.History{Succeeded: new(int32(1)), Failed: new(int32(1))}
	})
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	c.create(&v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Name: "by-hand", Namespace: c.namespace},
		Spec:       v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: "daily"}},
	})
	c.end("by-hand", v1alpha1.StateSucceeded, "Ended")
	due := time.Now().Add(time.Minute)
	var ticks []*batchv1.Job
	for i, state := range []v1alpha1.JobState{v1alpha1.StateFailed, v1alpha1.StateSucceeded, v1alpha1.StateSucceeded} {
		tick := c.fire("daily", due.Add(time.Duration(i)*time.Hour))
		run := c.run(tick.Name)
		// As the job controller does when the run starts.
		before := tick.DeepCopy()
		tick.Annotations[v1alpha1.AnnotationJobUID] = string(run.UID)
		if err := c.Patch(t.Context(), tick, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		c.end(tick.Name, state, "Ended")
		ticks = append(ticks, tick)
	}
	c.gone(&v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Name: ticks[1].Name, Namespace: c.namespace}})
	c.gone(ticks[1])
	for _, name := range []string{ticks[0].Name, ticks[2].Name, "by-hand"} {
		c.run(name)
	}
}

func TestNothingRunsUnlessItIsDue(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "not-due")
	c.yearly("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) {
		spec.StartingDeadline = &v1alpha1.Duration{Duration: time.Minute}
	})
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	// A time before the schedule was created, as Kubernetes may fire when a schedule changes.
	early := c.fire("daily", time.Now().Add(-time.Hour))
	c.gone(early)
	if s := c.get("daily").Status; s.MissedRuns != 0 || s.LastScheduledAt != nil {
		t.Errorf("a time before the schedule was created is reported: %+v", s)
	}
	// Another owner's WorkspaceJob has the name.
	due := time.Now().Add(time.Minute)
	name := fmt.Sprintf("daily-%d", due.Unix()/60)
	c.create(&v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "report"}},
	})
	taken := c.fire("daily", due)
	c.gone(taken)
	s := c.waitUntil("daily", "it is missed", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.MissedRuns == 1 }).Status
	if s.LastScheduledAt != nil || c.run(name).Spec.Handler != "report" {
		t.Errorf("another owner's job was adopted: %+v", s)
	}
}

func TestTheCronJobIsKept(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "kept")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	cronJob := c.cronJob("daily")
	uid := cronJob.UID
	before := cronJob.DeepCopy()
	cronJob.Spec.Schedule, cronJob.Spec.JobTemplate.Spec.Suspend = "* * * * *", new(false)
	if err := c.Patch(t.Context(), cronJob, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it is as it was", func(context.Context) error {
		if now := c.cronJob("daily"); now.Spec.Schedule != "0 0 29 2 *" || !*now.Spec.JobTemplate.Spec.Suspend || now.UID != uid {
			return fmt.Errorf("it is %+v", now.Spec)
		}
		return nil
	})
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Suspend = true })
	r := c.waitFor("daily", v1alpha1.ReasonSuspended)
	if !*c.cronJob("daily").Spec.Suspend || r.Status.NextScheduledAt != nil {
		t.Error("a suspended schedule still runs")
	}
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) {
		spec.Suspend, spec.Schedule, spec.StartingDeadline = false, "61 * * * *", &v1alpha1.Duration{Duration: time.Hour}
	})
	r = c.waitFor("daily", v1alpha1.ReasonInvalidSchedule)
	if message := r.Status.Conditions[0].Message; !strings.Contains(message, `"61 * * * *"`) || !strings.Contains(message, "minute") {
		t.Errorf("it says %q", message)
	}
	if now := c.cronJob("daily").Spec; now.Schedule != "0 0 29 2 *" || *now.Suspend || *now.StartingDeadlineSeconds != 3600 {
		t.Errorf("the last good schedule is not kept, or the rest not followed: %+v", now)
	}
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) {
		spec.Schedule, spec.StartingDeadline = "H H * * *", nil
	})
	r = c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	now := c.cronJob("daily").Spec
	if now.Schedule != r.Status.Schedule || strings.Contains(now.Schedule, "H") || now.StartingDeadlineSeconds != nil {
		t.Errorf("the CronJob has %+v, the status %q", now, r.Status.Schedule)
	}
}

// TestNothingIsWrittenWhenNothingChanges checks that idle recurring jobs cost nothing,
// however many there are.
func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "idle")
	c.yearly("daily", nil)
	r, cronJob := c.waitFor("daily", v1alpha1.ReasonScheduleActive), c.cronJob("daily")
	for i := range 5 {
		// This wakes the reconciler, which has nothing to do.
		before := r.DeepCopy()
		r.Labels = map[string]string{"touched": fmt.Sprint(i)}
		if err := c.Patch(t.Context(), r, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	// A later change in the same queue has been seen, and so this one was.
	c.yearly("later", nil)
	c.waitFor("later", v1alpha1.ReasonScheduleActive)
	if now := c.get("daily"); now.ResourceVersion != r.ResourceVersion {
		t.Errorf("its status was written: %+v", now.Status)
	}
	if now := c.cronJob("daily"); now.ResourceVersion != cronJob.ResourceVersion {
		t.Error("its CronJob was written")
	}
}

func TestAnotherOwnersCronJobIsNeverTouched(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "foreign")
	foreign := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "daily", Namespace: c.namespace},
		Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "b"}}}},
		}}},
	}
	c.create(foreign)
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonNameTaken)
	if now := c.cronJob("daily"); now.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("it was touched: %+v", now)
	}
}

func TestOutsideAWorkspace(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "inside")
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "outside"}})
	c.namespace = "outside"
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonNotInWorkspace)
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "outside", Name: "daily"}, &batchv1.CronJob{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("it has a CronJob: %v", err)
	}
}

// TestADeletedRecurringJobTakesItsObjectsWithIt checks that a recurring job is deleted with all that it owns.
func TestADeletedRecurringJobTakesItsObjectsWithIt(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "deleted")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	tick := c.fire("daily", time.Now().Add(time.Minute))
	run := c.run(tick.Name)
	if err := c.Delete(t.Context(), c.get("daily")); err != nil {
		t.Fatal(err)
	}
	for _, object := range []client.Object{tick, run, &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "daily", Namespace: c.namespace}}} {
		c.gone(object)
	}
}
