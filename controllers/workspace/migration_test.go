package workspace

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// noon is when the tests take place.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func failedAt(ws *v1alpha1.Workspace, try int, at time.Time, code int32, said string) migration {
	return migration{
		job: MakeMigration(ws, try).Ended(batchv1.JobFailed, at).Obj(),
		run: runnerjob.Observation{End: &runnerjob.End{ExitCode: &code, Error: said}},
	}
}

// reporting is ws once it reports that a try failed, and when the next one is due.
func reporting(ws *v1alpha1.Workspace, reason, why string, due time.Time) *v1alpha1.Workspace {
	ws = ws.DeepCopy()
	meta.SetStatusCondition(&ws.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDatabaseReady, Status: metav1.ConditionFalse, Reason: reason, ObservedGeneration: ws.Generation,
		Message: "The ledger can't be migrated: " + why + ". The next try is due at " + due.UTC().Format(time.RFC3339) + ".",
	})
	return ws
}

func TestPlanMigration(t *testing.T) {
	t.Parallel()
	fresh := MakeWorkspace("acme").Generation(1).Obj()
	ready := MakeWorkspace("acme").Generation(2).DatabaseReady(metav1.ConditionTrue, v1alpha1.ReasonDatabaseReady, "in place", 2).Obj()
	changed := MakeWorkspace("acme").Generation(3).DatabaseReady(metav1.ConditionTrue, v1alpha1.ReasonDatabaseReady, "in place", 2).Obj()
	failing := MakeWorkspace("acme").Generation(1).DatabaseReady(metav1.ConditionFalse, v1alpha1.ReasonMigrationFailed, "no route", 1).Obj()
	refused := MakeWorkspace("acme").Generation(1).DatabaseReady(metav1.ConditionFalse, v1alpha1.ReasonDatabaseRefused, "not yours", 1).Obj()
	running := func(ws *v1alpha1.Workspace, try int) migration { return migration{job: MakeMigration(ws, try).Obj()} }
	waiting := func(why string) migration {
		return migration{job: MakeMigration(fresh, 1).Obj(), run: runnerjob.Observation{Waiting: why}}
	}
	succeeded := func(result string) migration {
		end := &runnerjob.End{Succeeded: true, Message: contract.Message{Result: []byte(result)}}
		return migration{job: MakeMigration(fresh, 1).Obj(), run: runnerjob.Observation{End: end}}
	}
	done := runnerjob.Observation{End: &runnerjob.End{Succeeded: true, Message: contract.Message{Result: []byte(`{"schemaVersion":5}`)}}}
	for name, test := range map[string]struct {
		ws   *v1alpha1.Workspace
		seen migration
		// run is the try that is started; 0: none.
		run     int
		phase   report.Phase
		reason  string
		says    string
		after   time.Duration
		version int64
	}{
		"nothing yet":                     {fresh, migration{}, 1, report.Progressing, "Migrating", "image runner:1", pendingRetry, 0},
		"its Job was lost":                {ready, migration{}, 1, report.Ready, "DatabaseReady", "in place", pendingRetry, 0},
		"its Job runs again":              {ready, running(ready, 1), 0, report.Ready, "DatabaseReady", "in place", pendingRetry, 0},
		"another spec":                    {changed, migration{}, 1, report.Progressing, "Migrating", "", pendingRetry, 0},
		"another spec's Job runs":         {changed, running(changed, 1), 0, report.Progressing, "Migrating", "", pendingRetry, 0},
		"runs":                            {fresh, running(fresh, 1), 0, report.Progressing, "Migrating", "", pendingRetry, 0},
		"can't start":                     {fresh, waiting("no image"), 0, report.Progressing, "MigrationPending", "no image", pendingRetry, 0},
		"succeeded":                       {fresh, migration{job: MakeMigration(fresh, 1).Obj(), run: done}, 0, report.Ready, "DatabaseReady", "version 5", 0, 5},
		"succeeded, with a warning":       {fresh, succeeded(`{"schemaVersion":5,"warning":"The role may more."}`), 0, report.Ready, "DatabaseReady", "at version 5. The role may more.", 0, 5},
		"a warning without end":           {fresh, succeeded(`{"schemaVersion":5,"warning":"` + strings.Repeat("ä", contract.MaxWarning) + `"}`), 0, report.Ready, "DatabaseReady", "ää…", 0, 5},
		"succeeded, pod gone":             {fresh, migration{job: MakeMigration(fresh, 1).Obj(), run: runnerjob.Observation{End: &runnerjob.End{Succeeded: true}}}, 0, report.Ready, "DatabaseReady", "up to date", 0, 0},
		"failed just now":                 {fresh, failedAt(fresh, 1, noon(), 1, "no route."), 0, report.Progressing, "MigrationFailed", "no route. The next try is due at 2026-03-01T12:00:15Z.", minRetry, 0},
		"failed, due, not reported":       {fresh, failedAt(fresh, 1, noon().Add(-minRetry), 1, "no route"), 0, report.Progressing, "MigrationFailed", "no route", report.Soon, 0},
		"failed, due":                     {reporting(fresh, "MigrationFailed", "no route", noon()), failedAt(fresh, 1, noon().Add(-minRetry), 1, "no route"), 2, report.Progressing, "MigrationFailed", "no route", pendingRetry, 0},
		"failed, due, other reported":     {reporting(fresh, "MigrationFailed", "no route", noon().Add(-minRetry)), failedAt(fresh, 1, noon().Add(-minRetry), 1, "no route"), 0, report.Progressing, "MigrationFailed", "no route", report.Soon, 0},
		"failed, due, reported at length": {reporting(fresh, "MigrationFailed", strings.Repeat("x", maxError-3)+"…", noon()), failedAt(fresh, 1, noon().Add(-minRetry), 1, strings.Repeat("x", 4096)), 2, report.Progressing, "MigrationFailed", "The next try is due at 2026-03-01T12:00:00Z.", pendingRetry, 0},
		"failed for the third time":       {fresh, failedAt(fresh, 3, noon().Add(-59*time.Second), 1, "no route"), 0, report.Progressing, "MigrationFailed", "12:00:01Z", time.Second, 0},
		"the next try runs":               {failing, running(failing, 2), 0, report.Progressing, "MigrationFailed", "no route", pendingRetry, 0},
		"refused":                         {fresh, failedAt(fresh, 1, noon(), contract.ExitPermanent, "not yours"), 0, report.Stalled, "DatabaseRefused", "not yours", maxRetry, 0},
		"bad arguments":                   {fresh, failedAt(fresh, 1, noon(), contract.ExitUsage, "not yours"), 0, report.Stalled, "DatabaseRefused", "not yours", maxRetry, 0},
		"refused, due":                    {reporting(refused, "DatabaseRefused", "not yours", noon()), failedAt(refused, 1, noon().Add(-maxRetry), contract.ExitPermanent, "not yours"), 2, report.Stalled, "DatabaseRefused", "not yours", pendingRetry, 0},
		"refused, the next runs":          {refused, running(refused, 2), 0, report.Stalled, "DatabaseRefused", "not yours", pendingRetry, 0},
		"a clock ahead":                   {fresh, failedAt(fresh, 1, noon().Add(time.Hour), 1, "no route"), 0, report.Progressing, "MigrationFailed", "no route", maxRetry, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := nothing(test.ws)
			o.ledger = test.seen
			got := planMigration(o)
			try := 0
			if got.run != nil {
				try = tryOf(got.run, triesName(test.ws))
			}
			if try != test.run || got.after != test.after || got.schemaVersion != test.version {
				t.Errorf("try %d after %s, version %d; want %d, %s, %d", try, got.after, got.schemaVersion, test.run, test.after, test.version)
			}
			if got.database.Phase != test.phase || got.database.Reason != test.reason || !strings.Contains(got.database.Message, test.says) {
				t.Errorf("says %+v; want %d %s %q", got.database, test.phase, test.reason, test.says)
			}
		})
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for _, try := range []int{0, 1, 2, 3, 4, 5, 6, 1000000} {
		got = append(got, retryDelay(try))
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{15 * s, 15 * s, 30 * s, 60 * s, 120 * s, 240 * s, 300 * s, 300 * s}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCurrentMigration(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	resized := MakeWorkspace("acme").Obj()
	resized.Spec.Runner.Resources = &v1alpha1.Resources{Limits: corev1.ResourceList{"memory": resource.MustParse("1Gi")}}
	other := MakeWorkspace("acme").Image("runner:2").Obj()
	mighty := MakeWorkspace("acme").AllowSuperuser().Obj()
	for name, test := range map[string]struct {
		jobs []*batchv1.Job
		want int
	}{
		"none":                               {nil, -1},
		"of another image":                   {[]*batchv1.Job{MakeMigration(other, 1).Ended(batchv1.JobComplete, noon()).Obj()}, -1},
		"of a role that may do more":         {[]*batchv1.Job{MakeMigration(mighty, 1).Ended(batchv1.JobComplete, noon()).Obj()}, -1},
		"of other resources, unfinished":     {[]*batchv1.Job{MakeMigration(resized, 1).Obj()}, -1},
		"of other resources, succeeded":      {[]*batchv1.Job{MakeMigration(ws, 1).Obj(), MakeMigration(resized, 1).Ended(batchv1.JobComplete, noon()).Obj()}, 1},
		"of other resources, failed":         {[]*batchv1.Job{MakeMigration(resized, 1).Ended(batchv1.JobFailed, noon()).Obj()}, -1},
		"the newest try":                     {[]*batchv1.Job{MakeMigration(ws, 9).Obj(), MakeMigration(ws, 10).Obj(), MakeMigration(ws, 2).Obj()}, 1},
		"an earlier try that did it":         {[]*batchv1.Job{MakeMigration(ws, 1).Ended(batchv1.JobComplete, noon()).Obj(), MakeMigration(ws, 2).Obj()}, 0},
		"being deleted":                      {[]*batchv1.Job{MakeMigration(ws, 1).Ended(batchv1.JobComplete, noon()).Terminating().Obj()}, -1},
		"an older try, the newer one goes":   {[]*batchv1.Job{MakeMigration(ws, 1).Obj(), MakeMigration(ws, 2).Terminating().Obj()}, 0},
		"one whose name has no number":       {[]*batchv1.Job{named(MakeMigration(ws, 1).Obj(), triesName(ws)+"many"), MakeMigration(ws, 1).Obj()}, 1},
		"one that only looks like the pod's": {[]*batchv1.Job{named(MakeMigration(ws, 1).Obj(), "x"+migrationJob(ws, 9).Name)}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var jobs []batchv1.Job
			for _, job := range test.jobs {
				jobs = append(jobs, *job)
			}
			got := currentMigration(ws, jobs)
			if test.want < 0 && got != nil || test.want >= 0 && got != &jobs[test.want] {
				t.Errorf("got %v; want number %d", got, test.want)
			}
			for _, gone := range obsolete(jobs, got) {
				if got != nil && gone.UID == got.UID || !gone.DeletionTimestamp.IsZero() {
					t.Errorf("%s is removed", gone.Name)
				}
			}
		})
	}
}

func named(job *batchv1.Job, name string) *batchv1.Job {
	job.Name = name
	return job
}

func TestMigrationJobFitsItsNameAndChangesWithThePod(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, ws := range []*v1alpha1.Workspace{
		MakeWorkspace("acme").Obj(), MakeWorkspace("acme").Image("runner:2").Obj(), MakeWorkspace("globex").Obj(),
	} {
		job := migrationJob(ws, 1_000_000)
		if len(job.Name) > 63 {
			t.Errorf("%s is too long", job.Name)
		}
		names[job.Name] = true
		if diff := cmp.Diff(job, migrationJob(ws.DeepCopy(), 1_000_000)); diff != "" {
			t.Errorf("not the same twice: %s", diff)
		}
	}
	if len(names) != 3 {
		t.Errorf("names %v", names)
	}
}
