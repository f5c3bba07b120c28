package workspace

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	labelComponent  = "app.kubernetes.io/component"
	ledgerMigration = "ledger-migration"

	// annotationLedger is a hash of what decides whether the ledger has to be
	// migrated: image, Secret's name and key, schema, whether the role may be a
	// superuser.
	annotationLedger = v1alpha1.Group + "/ledger"
	// annotationTemplate is a hash of the whole pod: another one gives a failed or
	// stuck migration a new chance.
	annotationTemplate = v1alpha1.Group + "/template"
	// annotationTry counts the tries of one template, from 1.
	annotationTry = v1alpha1.Group + "/try"

	// migrationTimeout ends a migration that hangs; no ledger is so large that it
	// takes that long.
	migrationTimeout = time.Hour
	// A failed migration is tried again after minRetry, twice as long each time, at
	// most maxRetry; one that the database refused, after maxRetry.
	minRetry = 15 * time.Second
	maxRetry = 5 * time.Minute
	// pendingLook is how often a migration that has not ended is looked at: what
	// keeps its pod from starting may be told in events only, which wake nobody.
	pendingLook = 15 * time.Second
)

// migrationJob is the n-th try to migrate ws's ledger. Its name tells the
// template and the try, so that no try is ever made twice.
func migrationJob(ws *v1alpha1.Workspace, try int) *batchv1.Job {
	template := templateHash(ws)
	return runnerjob.Build(ws, runnerjob.Spec{
		Name:   fmt.Sprintf("%s-%s-%d", ledgerMigration, template, try),
		Owner:  *ownerOf(ws),
		Labels: map[string]string{labelComponent: ledgerMigration},
		Annotations: map[string]string{
			annotationLedger:   ledgerHash(ws),
			annotationTemplate: template,
			annotationTry:      strconv.Itoa(try),
		},
		Command: contract.CommandMigrate,
		Timeout: migrationTimeout,
	})
}

func ledgerHash(ws *v1alpha1.Workspace) string {
	return hashOf(ws.Spec.Runner.Image, ws.Spec.Database.SecretRef, ws.Spec.Database.Schema, ws.Spec.Database.AllowSuperuser)
}

func templateHash(ws *v1alpha1.Workspace) string {
	job := runnerjob.Build(ws, runnerjob.Spec{Command: contract.CommandMigrate, Timeout: migrationTimeout})
	return hashOf(job.Spec.Template.Spec)
}

func hashOf(values ...any) string {
	encoded, err := json.Marshal(values)
	if err != nil {
		// Only values that JSON can't hold, such as channels, come here.
		panic(fmt.Sprintf("hash %T: %v", values, err))
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:5])
}

// currentMigration picks the Job that speaks for ws's ledger as the spec wants it:
// one that has migrated it, with whatever resources; else the newest try with the
// pod that the spec describes; nil if there is none. A Job that is being deleted
// speaks for nothing.
func currentMigration(ws *v1alpha1.Workspace, jobs []batchv1.Job) *batchv1.Job {
	ledger, template := ledgerHash(ws), templateHash(ws)
	var current *batchv1.Job
	for i := range jobs {
		job := &jobs[i]
		if !job.DeletionTimestamp.IsZero() {
			continue
		}
		if end := runnerjob.Finished(job); end != nil && end.Type == batchv1.JobComplete && job.Annotations[annotationLedger] == ledger {
			return job
		}
		if job.Annotations[annotationTemplate] == template && (current == nil || tryOf(job) > tryOf(current)) {
			current = job
		}
	}
	return current
}

func tryOf(job *batchv1.Job) int {
	try, err := strconv.Atoi(job.Annotations[annotationTry])
	if err != nil {
		return 0
	}
	return try
}

// migration is what is known of the Job that speaks for the ledger.
type migration struct {
	// job is nil if there is none.
	job *batchv1.Job
	// run is what job and its pods tell.
	run runnerjob.Observation
	// trouble is what events tell of a pod that doesn't start.
	trouble string
}

// planMigration decides what happens to the ledger and what the database's
// condition says.
func planMigration(ws *v1alpha1.Workspace, m migration, now time.Time) plan {
	switch {
	case m.job == nil:
		return plan{run: migrationJob(ws, 1), database: underWay(ws, m), after: pendingLook}
	case m.run.End == nil:
		return plan{database: underWay(ws, m), after: pendingLook}
	case m.run.End.Succeeded:
		return plan{database: migrated(m.run.End), schemaVersion: migrationResult(m.run.End).SchemaVersion}
	default:
		return retry(ws, m, now)
	}
}

// plan is what to do about the ledger.
type plan struct {
	// run this Job; nil: none.
	run *batchv1.Job
	// database is the condition DatabaseReady.
	database finding
	// schemaVersion is 0 if the migration didn't tell.
	schemaVersion int64
	// after: look again then; 0: when something changes.
	after time.Duration
}

// underWay is said while a migration has not ended. Once the database was ready
// for this very spec it stays so: its Job was only lost, and is run again. And
// while another try runs, what made the last one fail stays to be read.
func underWay(ws *v1alpha1.Workspace, m migration) finding {
	before := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionDatabaseReady)
	switch {
	case before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == ws.Generation:
		return finding{phase: phaseReady, reason: before.Reason, message: before.Message}
	case m.run.Waiting != "":
		return progress(v1alpha1.ReasonMigrationPending, "The ledger's migration waits: "+m.run.Waiting)
	case m.trouble != "":
		return progress(v1alpha1.ReasonMigrationPending, "The ledger's migration waits: "+m.trouble)
	case m.job != nil && tryOf(m.job) > 1 && before != nil && before.Reason == v1alpha1.ReasonDatabaseRefused:
		return finding{phase: phaseStalled, reason: before.Reason, message: before.Message}
	case m.job != nil && tryOf(m.job) > 1 && before != nil && before.Reason == v1alpha1.ReasonMigrationFailed:
		return progress(before.Reason, before.Message)
	default:
		return progress(v1alpha1.ReasonMigrating, fmt.Sprintf("The ledger in schema %q is being migrated with image %s.", ws.Spec.Database.Schema, ws.Spec.Runner.Image))
	}
}

func migrated(end *runnerjob.End) finding {
	result := migrationResult(end)
	message := "The ledger's schema is in place."
	if result.SchemaVersion > 0 {
		message = fmt.Sprintf("The ledger's schema is at version %d.", result.SchemaVersion)
	}
	if result.Warning != "" {
		message += " " + result.Warning
	}
	return finding{phase: phaseReady, reason: v1alpha1.ReasonDatabaseReady, message: message}
}

// migrationResult is zero if the runner didn't tell, or its pod is gone.
func migrationResult(end *runnerjob.End) contract.MigrationResult {
	var result contract.MigrationResult
	if err := json.Unmarshal(end.Message.Result, &result); err != nil || result.SchemaVersion < 0 {
		return contract.MigrationResult{}
	}
	if len(result.Warning) > contract.MaxWarning {
		result.Warning = strings.ToValidUTF8(result.Warning[:contract.MaxWarning], "") + "…"
	}
	return result
}

// retry waits, and then runs the next try; the failed one is removed once that
// exists. The delay counts from the Job's own end, which a cluster's controller
// wrote, not from a node's clock.
func retry(ws *v1alpha1.Workspace, m migration, now time.Time) plan {
	try := tryOf(m.job)
	delay := retryDelay(try)
	fail := progress
	reason := v1alpha1.ReasonMigrationFailed
	if permanent(m.run.End) {
		delay, fail, reason = maxRetry, stall, v1alpha1.ReasonDatabaseRefused
	}
	due := runnerjob.Finished(m.job).LastTransitionTime.Add(delay)
	p := plan{database: fail(reason, fmt.Sprintf("The ledger can't be migrated: %s. The next try is due at %s.",
		cmp.Or(strings.TrimRight(m.run.End.Error, ". \n"), "no reason was told"), due.UTC().Format(time.RFC3339)))}
	if now.Before(due) {
		p.after = min(due.Sub(now), maxRetry)
		return p
	}
	p.run, p.after = migrationJob(ws, try+1), pendingLook
	return p
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

// obsolete are the migration Jobs that no longer speak for anything.
func obsolete(jobs []batchv1.Job, current *batchv1.Job) []batchv1.Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(job batchv1.Job) bool {
		return current != nil && job.UID == current.UID || !job.DeletionTimestamp.IsZero()
	})
}

func podsOf(job *batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		owner := metav1.GetControllerOf(&pod)
		return owner == nil || owner.UID != job.UID
	})
}
