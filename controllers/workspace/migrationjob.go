package workspace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	labelComponent  = "app.kubernetes.io/component"
	ledgerMigration = "ledger-migration"

	// annotationLedger is a hash of what decides whether the ledger has to be migrated:
	// image, Secret's name and key, schema, whether the role may be a superuser.
	annotationLedger = v1alpha1.Group + "/ledger"

	// migrationTimeout ends a migration that hangs. No ledger is so large that it takes
	// that long.
	migrationTimeout = time.Hour
)

// migrationJob is the n-th try to migrate ws's ledger. Its name says with which pod and
// which try it is, so that no try is ever made twice, and another pod gives a failed or
// stuck migration a new chance.
func migrationJob(ws *v1alpha1.Workspace, try int) *batchv1.Job {
	return runnerjob.Build(ws, runnerjob.Spec{
		Name:        triesName(ws) + strconv.Itoa(try),
		Owner:       *ownerOf(ws),
		Labels:      map[string]string{labelComponent: ledgerMigration},
		Annotations: map[string]string{annotationLedger: ledgerHash(ws)},
		Command:     contract.CommandMigrate,
		Timeout:     migrationTimeout,
	})
}

func migrationLabels() client.MatchingLabels {
	return client.MatchingLabels{labelComponent: ledgerMigration, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
}

func ledgerHash(ws *v1alpha1.Workspace) string {
	return report.Hash(ws.Spec.Runner.Image, ws.Spec.Database.SecretRef, ws.Spec.Database.Schema, ws.Spec.Database.AllowSuperuser)
}

// triesName is the name of all tries with the pod that ws describes, up to the number.
func triesName(ws *v1alpha1.Workspace) string {
	job := runnerjob.Build(ws, runnerjob.Spec{Command: contract.CommandMigrate, Timeout: migrationTimeout})
	return fmt.Sprintf("%s-%s-", ledgerMigration, report.Hash(job.Spec.Template.Spec))
}

// tryOf returns which try the Job is among those of this name, from 1; 0 if it is none.
func tryOf(job *batchv1.Job, tries string) int {
	number, ok := strings.CutPrefix(job.Name, tries)
	if !ok {
		return 0
	}
	try, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return try
}

// currentMigration returns the Job that speaks for ws's ledger: one that has migrated it as
// the spec says, whatever else its pod was like; otherwise the newest try with the pod that
// the spec describes; nil if there is none. A Job that is being deleted speaks for nothing.
func currentMigration(ws *v1alpha1.Workspace, jobs []batchv1.Job) *batchv1.Job {
	ledger, tries := ledgerHash(ws), triesName(ws)
	var current *batchv1.Job
	newest := 0
	for i := range jobs {
		job := &jobs[i]
		if !job.DeletionTimestamp.IsZero() {
			continue
		}
		if end := runnerjob.Finished(job); end != nil && end.Type == batchv1.JobComplete && job.Annotations[annotationLedger] == ledger {
			return job
		}
		if try := tryOf(job, tries); try > newest {
			current, newest = job, try
		}
	}
	return current
}

// obsolete returns the migrations that no longer speak for anything.
func obsolete(jobs []batchv1.Job, current *batchv1.Job) []batchv1.Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(job batchv1.Job) bool {
		return current != nil && job.UID == current.UID || !job.DeletionTimestamp.IsZero()
	})
}

// terminating reports whether one of the Jobs has the name and is being deleted.
func terminating(jobs []batchv1.Job, name string) bool {
	return slices.ContainsFunc(jobs, func(job batchv1.Job) bool {
		return job.Name == name && !job.DeletionTimestamp.IsZero()
	})
}
