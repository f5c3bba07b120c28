package job

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestLateness(t *testing.T) {
	t.Parallel()
	begun := func(run int32, second int) *v1alpha1.WorkspaceJobStatus {
		return &v1alpha1.WorkspaceJobStatus{Run: run, StartedAt: when(second)}
	}
	none := &v1alpha1.WorkspaceJobStatus{}
	for name, c := range map[string]struct {
		due           string
		before, after *v1alpha1.WorkspaceJobStatus
		want          []measure
	}{
		"a schedule's run": {
			due: "2026-03-01T12:00:00Z", before: none, after: begun(1, 7),
			want: []measure{{late: new(7 * time.Second)}},
		},
		"by a clock that is behind": {
			due: "2026-03-01T13:00:03+01:00", before: none, after: begun(1, 2),
			want: []measure{{late: new(time.Duration(0))}},
		},
		"one that has not started":  {due: "2026-03-01T12:00:00Z", before: none, after: &v1alpha1.WorkspaceJobStatus{Run: 1}},
		"one that has long started": {due: "2026-03-01T12:00:00Z", before: begun(1, 7), after: begun(1, 7)},
		"a requeued run":            {due: "2026-03-01T12:00:00Z", before: begun(1, 7), after: begun(2, 50)},
		"a run of no schedule":      {before: none, after: begun(1, 7)},
		"somebody's nonsense":       {due: "soon", before: none, after: begun(1, 7)},
	} {
		job := makeJob().With(scheduled(0)).Obj()
		job.Annotations = map[string]string{v1alpha1.AnnotationScheduledAt: c.due}
		if diff := cmp.Diff(c.want, measuresOf(job, c.before, c.after), cmp.AllowUnexported(measure{})); diff != "" {
			t.Errorf("%s: measures (-want +got):\n%s", name, diff)
		}
	}
}

func TestWaited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job  *objects.WorkspaceJobBuilder
		want int
	}{
		"not reconciled yet":        {makeJob(), 0},
		"processing":                {makeJob().Attempt(1, 1, at(10)).State(v1alpha1.StateProcessing), 0},
		"between two attempts":      {makeJob().Attempt(1, 1, at(10)).Failed(at(20)).State(v1alpha1.StateScheduled).NextAttempt(at(70)), 0},
		"in the queue":              {makeJob().With(enqueued(10)), 90},
		"its time came before that": {makeJob().With(enqueued(10)).NextAttempt(at(9)), 90},
		"its pod does not start":    {makeJob().Attempt(1, 1, at(10)), 90},
		"its retry is in the queue": {makeJob().Attempt(1, 1, at(10)).Failed(at(20)).NextAttempt(at(70)), 30},
		"and its time was cleared":  {makeJob().Attempt(1, 1, at(10)).Failed(at(20)), 80},
		"its retry's pod":           {makeJob().Attempt(1, 1, at(10)).Failed(at(20)).Attempt(1, 2, at(75)).With(enqueued(10)), 25},
		"a new run is in the queue": {makeJob().Attempt(1, 1, at(10)).Failed(at(20)).With(requeued(60)), 40},
		"by a clock that is behind": {makeJob().With(enqueued(110)), 0},
	} {
		if got := waited(at(100), &c.job.Obj().Status); got != time.Duration(c.want)*time.Second {
			t.Errorf("%s: waited %s, want %d s", name, got, c.want)
		}
	}
}

func TestLoads(t *testing.T) {
	t.Parallel()
	acme, taken, empty := readyWorkspace(), readyWorkspace(), readyWorkspace()
	acme.Spec.Concurrency = new(int32(3))
	// It wants acme's namespace, and so has none.
	taken.Name, taken.Spec.Namespace, taken.Status.Namespace = "taken", "workspace-acme", ""
	empty.Name, empty.Status.Namespace, empty.Spec.Suspend = "empty", "workspace-empty", true
	elsewhere := makeJob().With(enqueued(1)).Obj()
	elsewhere.Namespace = "default"
	jobs := []v1alpha1.WorkspaceJob{
		*makeJob().With(enqueued(40)).Obj(), *makeJob().With(enqueued(30)).Obj(), *makeJob().With(enqueued(50)).Obj(),
		*makeJob().Finished(v1alpha1.StateFailed, at(20)).Obj(), *elsewhere,
	}
	recurring := []v1alpha1.WorkspaceRecurringJob{*makeRecurring("workspace-acme", 0), *makeRecurring("workspace-acme", 4), *makeRecurring("default", 1)}
	want := []load{
		{
			queue: "workspace_acme", limit: 3, oldest: 70 * time.Second, recurring: 2, failing: 1,
			states: map[v1alpha1.JobState]int{v1alpha1.StateEnqueued: 3, v1alpha1.StateFailed: 1},
		},
		{queue: "workspace_taken", limit: 20, states: map[v1alpha1.JobState]int{}},
		{queue: "workspace_empty", states: map[v1alpha1.JobState]int{}},
	}
	got := loadsOf(at(100), []v1alpha1.Workspace{*acme, *taken, *empty}, jobs, recurring)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(load{})); diff != "" {
		t.Errorf("loads (-want +got):\n%s", diff)
	}
}

func makeRecurring(namespace string, failures int32) *v1alpha1.WorkspaceRecurringJob {
	return &v1alpha1.WorkspaceRecurringJob{
		ObjectMeta: metav1.ObjectMeta{Name: "every-night", Namespace: namespace},
		Spec:       v1alpha1.WorkspaceRecurringJobSpec{Schedule: "0 3 * * *", Suspend: true, Template: v1alpha1.JobTemplate{Handler: "sql"}},
		Status:     v1alpha1.WorkspaceRecurringJobStatus{ConsecutiveFailures: failures},
	}
}

func TestAScrapeShowsTheQueueAsItIs(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "scrape")
	recurring := makeRecurring(c.namespace, 0)
	c.create(recurring)
	c.submit("waits", nil)
	c.waitFor("waits", v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued)
	c.gathered(c.namespace, map[string]float64{
		"workspace_jobs_jobs state=Enqueued": 1, "workspace_jobs_queue_limit": 20,
		"workspace_jobs_recurring_jobs": 1, "workspace_jobs_recurring_jobs_failing": 0,
	})
	testenv.Eventually(c, "the job waits", func(context.Context) error {
		got, err := measured(operator.registry, v1alpha1.QueueName(c.namespace))
		if err == nil && got["workspace_jobs_oldest_waiting_seconds"] <= 0 {
			return fmt.Errorf("all: %v", got)
		}
		return err
	})
	before := recurring.DeepCopy()
	recurring.Status.ConsecutiveFailures = 2
	if err := c.Status().Patch(c.Context(), recurring, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
	c.end("waits", 1, 0, `{}`)
	c.gathered(c.namespace, map[string]float64{
		"workspace_jobs_jobs state=Succeeded": 1, "workspace_jobs_oldest_waiting_seconds": 0, "workspace_jobs_recurring_jobs_failing": 1,
	})
	operator.reconciler.Metrics.count(&v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "late"}}, []measure{{late: new(time.Second)}})
	c.gathered("late", map[string]float64{"workspace_jobs_schedule_lateness_seconds": 1})
}
