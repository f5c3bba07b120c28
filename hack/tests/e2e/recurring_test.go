package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// failFirst fails at every odd call, since a sequence is not rolled back.
const failFirst = `DO $$ BEGIN IF nextval('tries') % 2 = 1 THEN RAISE EXCEPTION 'the first try fails'; END IF; END $$`

// makeRecurring returns a recurring job that runs statements in one transaction, and is
// retried once after two seconds.
func (tn *tenant) makeRecurring(name, schedule string, statements ...string) *v1alpha1.WorkspaceRecurringJob {
	template := tn.makeSQL(name, statements...).Retries(1, 2*time.Second).Template()
	return objects.MakeWorkspaceRecurringJob(name).In(tn.namespace).Schedule(schedule, "").Template(template).Obj()
}

func (tn *tenant) recurring(name string) *v1alpha1.WorkspaceRecurringJob {
	tn.t.Helper()
	r := &v1alpha1.WorkspaceRecurringJob{}
	if err := shared.client.Get(tn.t.Context(), client.ObjectKey{Namespace: tn.namespace, Name: name}, r); err != nil {
		tn.t.Fatal(err)
	}
	return r
}

func (tn *tenant) waitRecurring(name, what string, wanted func(*v1alpha1.WorkspaceRecurringJob) bool) *v1alpha1.WorkspaceRecurringJob {
	tn.t.Helper()
	var r *v1alpha1.WorkspaceRecurringJob
	testenv.Eventually(tn.t, name+": "+what, func(context.Context) error {
		r = tn.recurring(name)
		if !wanted(r) {
			return fmt.Errorf("it is %+v", r.Status)
		}
		return nil
	})
	return r
}

func (tn *tenant) changeRecurring(name string, change func(*v1alpha1.WorkspaceRecurringJobSpec)) {
	tn.t.Helper()
	r := tn.recurring(name)
	before := r.DeepCopy()
	change(&r.Spec)
	if err := shared.client.Patch(tn.t.Context(), r, client.MergeFrom(before)); err != nil {
		tn.t.Fatal(err)
	}
}

// TestAScheduleOfEveryMinute runs a schedule whose runs first fail and are retried, and kills
// the operator between two of them: each run should take effect once, and the history keep
// to its limit. It is not parallel, since it kills the operator.
func TestAScheduleOfEveryMinute(t *testing.T) {
	tn := newTenantWithEffects(t, "every-minute")
	if _, err := tn.db.Exec(t.Context(), "CREATE SEQUENCE tries"); err != nil {
		t.Fatal(err)
	}
	r := tn.makeRecurring("heartbeat", "* * * * *", failFirst, insertEffect)
	r.Spec.History = &v1alpha1.History{Succeeded: new(int32(1))}
	if err := shared.client.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	first := tn.waitRecurring("heartbeat", "a run has succeeded", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.LastSucceededAt != nil }).Status
	job, err := tn.job(t.Context(), first.LastRun.Name)
	if err != nil {
		t.Fatal(err)
	}
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	if a := job.Status.Attempts; len(a) == 2 && a[1].CreatedAt.Sub(a[0].FinishedAt.Time) < time.Second {
		t.Errorf("it was retried after %s", a[1].CreatedAt.Sub(a[0].FinishedAt.Time))
	}
	killOperator(t)
	tn.waitRecurring("heartbeat", "another run has succeeded", func(r *v1alpha1.WorkspaceRecurringJob) bool {
		return r.Status.LastRun.Name != first.LastRun.Name && r.Status.LastRun.State == v1alpha1.StateSucceeded
	})
	tn.changeRecurring("heartbeat", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Suspend = true })
	last := tn.waitRecurring("heartbeat", "all runs have ended", func(r *v1alpha1.WorkspaceRecurringJob) bool {
		return r.Status.NextScheduledAt == nil && len(r.Status.Active) == 0
	}).Status
	// A slow machine may miss a minute, or skip one while the run before it lasts.
	tn.wantEffects(tn.minutesUntil("heartbeat", last.LastScheduledAt.Time) - int(last.MissedRuns+last.SkippedRuns))
	testenv.Eventually(t, "the history is kept to its limit", func(ctx context.Context) error {
		if _, err := tn.job(ctx, first.LastRun.Name); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the oldest run still exists: %w", err)
		}
		return nil
	})
}

// minutesUntil returns in how many minutes, up to and including last, a schedule of every
// minute was due.
func (tn *tenant) minutesUntil(name string, last time.Time) int {
	tn.t.Helper()
	cronJob := &batchv1.CronJob{}
	if err := shared.client.Get(tn.t.Context(), client.ObjectKey{Namespace: tn.namespace, Name: name}, cronJob); err != nil {
		tn.t.Fatal(err)
	}
	since, err := time.Parse(time.RFC3339, cronJob.Annotations[v1alpha1.AnnotationScheduleSince])
	if err != nil {
		tn.t.Fatal(err)
	}
	return int(last.Unix()/60 - since.Add(-time.Nanosecond).Unix()/60)
}

// TestATriggeredRunAndAChain uses a workspace that runs one job at a time.
func TestATriggeredRunAndAChain(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "chain", func(ws *v1alpha1.Workspace) { ws.Spec.Concurrency = new(int32(1)) })
	if _, err := tn.db.Exec(t.Context(), "CREATE TABLE steps (number serial, name text)"); err != nil {
		t.Fatal(err)
	}
	step := func(name string) string { return fmt.Sprintf("INSERT INTO steps (name) VALUES ('%s')", name) }
	if err := shared.client.Create(t.Context(), tn.makeRecurring("yearly", "@yearly", step("triggered"))); err != nil {
		t.Fatal(err)
	}
	before := tn.waitRecurring("yearly", "its schedule is active", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.NextScheduledAt != nil }).Status
	tn.start(tn.makeSQL("last", step("last")).After("middle", "trigger"))
	tn.start(tn.makeSQL("on-failure", step("never")).AfterOutcome(v1alpha1.AfterFailed, "middle"))
	tn.start(tn.makeSQL("middle", step("middle")).After("trigger"))
	tn.start(objects.MakeWorkspaceJob("trigger").In(tn.namespace).Trigger("yearly"))
	tn.waitFinal("last", v1alpha1.StateSucceeded)
	wantWords(t, "the job that waited for a failure", tn.waitFinal("on-failure", v1alpha1.StateDeleted).Status.Message, `"middle" is Succeeded`)
	var steps string
	if err := tn.db.QueryRow(t.Context(), "SELECT string_agg(name, ' ' ORDER BY number) FROM steps").Scan(&steps); err != nil {
		t.Fatal(err)
	}
	if steps != "triggered middle last" {
		t.Errorf("the steps ran in the order %q", steps)
	}
	after := tn.recurring("yearly").Status
	if !after.NextScheduledAt.Equal(before.NextScheduledAt) || after.LastScheduledAt != nil {
		t.Error("the triggered run has moved the schedule")
	}
}
