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
	// A failed migration is retried after minRetry, then after twice as long each time, but
	// at most maxRetry. A permanent failure is retried after maxRetry.
	minRetry = 15 * time.Second
	maxRetry = 5 * time.Minute
	// pendingRetry is how often a migration that has not ended is checked. What keeps its
	// pod from starting may be only in events, which are not watched.
	pendingRetry = 15 * time.Second
	// maxError is how much of a runner's error a condition quotes, in bytes, so that the
	// operator's own text after it is not clipped.
	maxError = report.MaxMessage - 200
)

// migration is what is known of the Job that shows the state of the ledger.
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
	// after is when to check again at the latest; 0 means when something changes.
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
	if p.run != nil {
		o.fence.Guard(o.workspace, &p.run.Spec)
	}
	return p
}

// underWay returns the finding while a migration has not ended. A database that was ready for
// this generation stays ready: its Job was only lost, and runs again. While a retry runs,
// the reason why the previous try failed stays.
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

// resultOf returns the runner's result, or zero if it is unreadable or the pod is gone.
func resultOf(end *runnerjob.End) contract.MigrationResult {
	var result contract.MigrationResult
	if err := json.Unmarshal(end.Message.Result, &result); err != nil || result.SchemaVersion < 0 {
		return contract.MigrationResult{}
	}
	result.Warning = report.Clip(printable.Text(result.Warning), contract.MaxWarning)
	return result
}

// retry waits and then runs the next try, once the failure has been reported. The failed Job
// is removed when the next one exists. The delay counts from the end in the Job's status,
// which the Job controller wrote, so that a node's clock does not matter.
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
