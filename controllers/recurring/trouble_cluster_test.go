package recurring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// laggingClient does not show any WorkspaceJob yet.
type laggingClient struct{ client.Client }

func (l *laggingClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.WorkspaceJobList); ok {
		return nil
	}
	return l.Client.List(ctx, list, options...)
}

// TestALaggingCacheLosesNoRun has the reconciler see, again and again, none of the
// runs that it has created.
func TestALaggingCacheLosesNoRun(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "lagging")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	tick := c.fire("daily", soon(0))
	active := c.waitUntil("daily", "its run is active", func(r *v1alpha1.WorkspaceRecurringJob) bool { return len(r.Status.Active) == 1 })
	lagging := *operator.reconciler
	lagging.Client = &laggingClient{operator.reconciler.Client}
	for range 5 {
		// Any error is as acceptable as a conflict here. What counts is the result.
		_, _ = lagging.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(active)})
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(tick), tick); err != nil || !tick.DeletionTimestamp.IsZero() {
		t.Errorf("the Job of a run that waits: %v, deleted %v", err, tick.DeletionTimestamp)
	}
	if now := c.get("daily"); !equality.Semantic.DeepEqual(now.Status, active.Status) {
		t.Errorf("a stale cache changed the status to %+v", now.Status)
	}
	c.end(tick.Name, v1alpha1.StateFailed, "Ended")
	c.waitUntil("daily", "its run is accounted", func(r *v1alpha1.WorkspaceRecurringJob) bool {
		return len(r.Status.Active) == 0 && r.Status.ConsecutiveFailures == 1
	})
}

// TestAStartedJobIsNotRemovedAsALeftover has the cache show the Job as it was before
// its start.
func TestAStartedJobIsNotRemovedAsALeftover(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "started")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	tick := c.fire("daily", soon(0))
	run := c.run(tick.Name)
	stale := tick.DeepCopy()
	tick.Annotations[v1alpha1.AnnotationJobUID], tick.Spec.Suspend = string(run.UID), new(false)
	if err := c.Patch(t.Context(), tick, client.MergeFrom(stale)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_ = operator.reconciler.remove(t.Context(), decision{removeTicks: []batchv1.Job{*stale}})
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(tick), tick); err != nil || !tick.DeletionTimestamp.IsZero() {
		t.Errorf("it was deleted: %v", err)
	}
}

// TestWhatIsWrongIsReportedOnce checks events and metrics, so its operator does not die.
func TestWhatIsWrongIsReportedOnce(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, testenv.HealthyNamespace)
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.TimeZone = "Mars/Olympus" })
	c.waitFor("daily", v1alpha1.ReasonInvalidTimeZone)
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.TimeZone = "Europe/Berlin" })
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)

	// Another owner has the first run's name; the second run is not held up by it.
	due := soon(0)
	c.create(&v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Name: tickName(c.get("daily"), due), Namespace: c.namespace},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "report"}},
	})
	taken, second := c.fire("daily", due), c.fire("daily", due.Add(time.Minute))
	c.gone(taken)
	c.end(second.Name, v1alpha1.StateDeleted, v1alpha1.ReasonSkipped)
	s := c.waitUntil("daily", "all is reported", func(r *v1alpha1.WorkspaceRecurringJob) bool {
		return r.Status.SkippedRuns == 1 && len(r.Status.Active) == 0
	})
	if s.Status.MissedRuns != 1 || s.Status.LastRun != nil {
		t.Errorf("its status is %+v", s.Status)
	}
	c.events(s, map[string]string{
		"InvalidTimeZone": `"Mars/Olympus"`, "ScheduleActive": "Europe/Berlin", "RunMissed": "1 missed",
		"NameTaken": taken.Name, "RunSkipped": second.Name,
	})
	// Metrics are counted after the status was written.
	testenv.Eventually(t, "its metrics", func(context.Context) error {
		families, err := operator.registry.Gather()
		if err != nil {
			return err
		}
		counted := 0
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if metric.GetLabel()[0].GetValue() == v1alpha1.QueueName(c.namespace) {
					counted++
					err = errors.Join(err, wantOne(family.GetName(), metric.GetCounter().GetValue()))
				}
			}
		}
		if counted != 2 {
			return fmt.Errorf("%d of 2 metrics", counted)
		}
		return err
	})
}

func wantOne(metric string, value float64) error {
	if value != 1 {
		return fmt.Errorf("%s is %v", metric, value)
	}
	return nil
}

// events waits for the events of the recurring job, by reason, and what each says.
func (c *clusterT) events(r *v1alpha1.WorkspaceRecurringJob, want map[string]string) {
	c.Helper()
	testenv.Eventually(c, "its events", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := c.List(ctx, &events, client.InNamespace(c.namespace)); err != nil {
			return err
		}
		got := map[string]string{}
		for _, e := range events.Items {
			if e.Regarding.UID == r.UID {
				got[e.Reason] += e.Note
			}
			if e.Series != nil {
				return fmt.Errorf("%s is reported %d times", e.Reason, e.Series.Count)
			}
		}
		for reason, part := range want {
			if !strings.Contains(got[reason], part) || len(got) != len(want) {
				return fmt.Errorf("no event %s %q in %v", reason, part, got)
			}
		}
		return nil
	})
}

// soon returns a full minute that is still to come. A schedule that is created now can be due
// at that time.
func soon(minutes int) time.Time {
	return time.Now().Truncate(time.Minute).Add(time.Duration(minutes+1) * time.Minute)
}

// TestAScheduleWithoutAWorkspaceIsSuspended also checks that it runs again once there is a
// workspace, and that nothing was due meanwhile.
func TestAScheduleWithoutAWorkspaceIsSuspended(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "evicted")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	since := c.cronJob("daily").Annotations[v1alpha1.AnnotationScheduleSince]
	c.hold("")
	r := c.waitFor("daily", v1alpha1.ReasonWorkspaceNotReady)
	if now := c.cronJob("daily"); !*now.Spec.Suspend || now.Spec.Schedule != "0 0 29 2 *" || r.Status.NextScheduledAt != nil {
		t.Errorf("it still runs: %+v", now.Spec)
	}
	tick := c.fire("daily", soon(0))
	c.hold(c.namespace)
	r = c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	now := c.cronJob("daily")
	if *now.Spec.Suspend || now.Annotations[v1alpha1.AnnotationScheduleSince] != since || r.Status.NextScheduledAt == nil {
		t.Errorf("it does not run as before: %+v", now)
	}
	if c.run(tick.Name); c.get("daily").Status.MissedRuns != 0 {
		t.Error("a run was missed")
	}
}

// TestAJobStartedByHandIsLeftAlone also checks that its run counts as missed.
func TestAJobStartedByHandIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "by-hand")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	job := tickOf(c.cronJob("daily"), soon(0))
	job.Spec.Suspend = new(false)
	c.create(job)
	c.waitUntil("daily", "its run is missed", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.MissedRuns == 1 })
	tick := c.fire("daily", soon(1))
	c.run(tick.Name)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(job), job); err != nil || !job.DeletionTimestamp.IsZero() {
		t.Errorf("it was deleted: %v", err)
	}
	err := c.Get(t.Context(), client.ObjectKeyFromObject(job), &v1alpha1.WorkspaceJob{})
	if !apierrors.IsNotFound(err) || c.get("daily").Status.MissedRuns != 1 {
		t.Errorf("it became a run: %v", err)
	}
}

// TestACronJobWithoutItsLabelsIsFound has a CronJob that the cache leaves out.
func TestACronJobWithoutItsLabelsIsFound(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "unlabelled")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	cronJob := c.cronJob("daily")
	before := cronJob.DeepCopy()
	cronJob.Labels = nil
	cronJob.Annotations[v1alpha1.AnnotationScheduleSince] = "2026-01-01T00:00:00Z"
	if err := c.Patch(t.Context(), cronJob, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it has its labels again", func(context.Context) error {
		if now := c.cronJob("daily"); now.UID != cronJob.UID || now.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
			return fmt.Errorf("it is %+v", now.ObjectMeta)
		}
		return nil
	})
	if now := c.cronJob("daily").Annotations; now[v1alpha1.AnnotationScheduleSince] != cronJob.Annotations[v1alpha1.AnnotationScheduleSince] {
		t.Errorf("its schedule counts as a new one: %v", now)
	}
}

// TestMissedRunsAreCounted lets Kubernetes miss times, of which it fires only the newest.
func TestMissedRunsAreCounted(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "missed")
	c.yearly("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Schedule = "0 0 1 1 *" })
	r := c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	// Four years go by.
	due := r.Status.NextScheduledAt.UTC().AddDate(3, 0, 0)
	c.run(c.fire("daily", due).Name)
	s := c.waitUntil("daily", "it is reported", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.LastScheduledAt != nil }).Status
	if !s.LastScheduledAt.Time.Equal(due) || !s.LastMissedAt.Time.Equal(due.AddDate(-1, 0, 0)) || s.MissedRuns != 3 {
		t.Errorf("missed %d, the last at %v; the last run at %v of %v", s.MissedRuns, s.LastMissedAt, s.LastScheduledAt, due)
	}
}
