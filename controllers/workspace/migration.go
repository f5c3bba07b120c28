package workspace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	// A failed migration is retried after minRetry, then after twice as long each time,
	// at most maxRetry. One that failed for good is retried after maxRetry.
	minRetry = 15 * time.Second
	maxRetry = 5 * time.Minute
	// pendingRetry is how often a migration that has not ended is checked: what keeps its
	// pod from starting may be only in events, which wake nobody.
	pendingRetry = 15 * time.Second
	// maxError is how much of a runner's error a condition quotes, in bytes: what the
	// operator says after it must not be clipped.
	maxError = report.MaxMessage - 200
)

// migration is what is known of the Job that speaks for the ledger.
type migration struct {
	// job is nil if there is none.
	job *batchv1.Job
	// run is what the Job and its pods show.
	run runnerjob.Observation
}

// plan is what to do about the ledger.
type plan struct {
	// run this Job; nil if none is due.
	run *batchv1.Job
	// database is the condition DatabaseReady.
	database report.Finding
	// schemaVersion is 0 if the migration did not report it.
	schemaVersion int64
	// after this time it is checked again; 0: when something changes.
	after time.Duration
}

// planMigration decides whether the ledger is migrated now, and what the condition
// DatabaseReady says.
func planMigration(o observed) plan {
	var p plan
	switch m := o.ledger; {
	case m.job == nil:
		p = plan{run: migrationJob(o.workspace, 1), database: underWay(o.workspace, m), after: pendingRetry}
	case m.run.End == nil:
		p = plan{database: underWay(o.workspace, m), after: pendingRetry}
	case m.run.End.Succeeded:
		result := resultOf(m.run.End)
		p = plan{database: migrated(result), schemaVersion: result.SchemaVersion}
	default:
		p = retry(o.workspace, m, o.now)
	}
	if p.run != nil && terminating(o.jobs, p.run.Name) {
		p.run, p.after = nil, terminatingRetry
	}
	return p
}

// underWay is the finding while a migration has not ended. Once the database was ready for
// this very spec it stays so: its Job was only lost, and runs again. And while the next try
// runs, the reason why the last one failed stays.
func underWay(ws *v1alpha1.Workspace, m migration) report.Finding {
	before := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionDatabaseReady)
	again := before != nil && m.job != nil && tryOf(m.job, triesName(ws)) > 1
	switch {
	case before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == ws.Generation:
		return report.Finding{Phase: report.Ready, Reason: before.Reason, Message: before.Message}
	case m.run.Waiting != "":
		return progress(v1alpha1.ReasonMigrationPending, "The ledger's migration is waiting: "+m.run.Waiting)
	case again && before.Reason == v1alpha1.ReasonDatabaseRefused:
		return stall(before.Reason, before.Message)
	case again && before.Reason == v1alpha1.ReasonMigrationFailed:
		return progress(before.Reason, before.Message)
	default:
		return progress(v1alpha1.ReasonMigrating, fmt.Sprintf("The ledger in schema %q is being migrated with image %s.", ws.Spec.Database.Schema, ws.Spec.Runner.Image))
	}
}

func migrated(result contract.MigrationResult) report.Finding {
	message := "The ledger's schema is up to date."
	if result.SchemaVersion > 0 {
		message = fmt.Sprintf("The ledger's schema is at version %d.", result.SchemaVersion)
	}
	if result.Warning != "" {
		message += " " + result.Warning
	}
	return report.Finding{Phase: report.Ready, Reason: v1alpha1.ReasonDatabaseReady, Message: message}
}

// resultOf is zero if the runner reported nothing readable, or its pod is gone.
func resultOf(end *runnerjob.End) contract.MigrationResult {
	var result contract.MigrationResult
	if err := json.Unmarshal(end.Message.Result, &result); err != nil || result.SchemaVersion < 0 {
		return contract.MigrationResult{}
	}
	result.Warning = report.Clip(printable.Text(result.Warning), contract.MaxWarning)
	return result
}

// retry waits, and then runs the next try; the failed one is removed once that exists. The
// failure is reported before the next try starts. The delay counts from the Job's own end,
// which the cluster's controller wrote, not from a node's clock.
func retry(ws *v1alpha1.Workspace, m migration, now time.Time) plan {
	try := tryOf(m.job, triesName(ws))
	delay := retryDelay(try)
	fail := progress
	reason := v1alpha1.ReasonMigrationFailed
	if permanent(m.run.End) {
		delay, fail, reason = maxRetry, stall, v1alpha1.ReasonDatabaseRefused
	}
	due := runnerjob.Finished(m.job).LastTransitionTime.Add(delay)
	why := report.Clip(cmp.Or(strings.TrimRight(m.run.End.Error, ". \n"), "the runner gave no reason"), maxError)
	failure := fail(reason, fmt.Sprintf("The ledger can't be migrated: %s. The next try is due at %s.", why, due.UTC().Format(time.RFC3339)))
	switch {
	case now.Before(due):
		return plan{database: failure, after: min(due.Sub(now), maxRetry)}
	case !reported(ws, failure):
		return plan{database: failure, after: report.Soon}
	default:
		return plan{run: migrationJob(ws, try+1), database: failure, after: pendingRetry}
	}
}

func reported(ws *v1alpha1.Workspace, database report.Finding) bool {
	before := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionDatabaseReady)
	return before != nil && before.Reason == database.Reason && before.Message == database.Message
}

func retryDelay(try int) time.Duration {
	delay := minRetry
	for range min(try-1, 10) {
		delay *= 2
	}
	return min(delay, maxRetry)
}

func permanent(end *runnerjob.End) bool {
	return end.ExitCode != nil && (*end.ExitCode == contract.ExitUsage || *end.ExitCode == contract.ExitPermanent)
}
