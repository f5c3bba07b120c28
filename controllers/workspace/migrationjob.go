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

	// annotationLedger is a hash of the fields whose change needs a migration: image,
	// Secret's name and key, schema, and whether the role may be a superuser.
	annotationLedger = v1alpha1.Group + "/ledger"

	// migrationTimeout ends a migration that hangs. No ledger takes that long.
	migrationTimeout = time.Hour
)

// migrationJob returns the Job of a try to migrate ws's ledger. Its name has a hash of the pod
// and the number of the try, so that no try is made twice, and a change of the pod gives a
// failed or stuck migration a new chance.
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

// triesName returns the name, without the number, of all tries with the pod that ws's spec
// describes.
func triesName(ws *v1alpha1.Workspace) string {
	job := runnerjob.Build(ws, runnerjob.Spec{Command: contract.CommandMigrate, Timeout: migrationTimeout})
	return fmt.Sprintf("%s-%s-", ledgerMigration, report.Hash(job.Spec.Template.Spec))
}

// tryOf returns the number of the try that the Job is, from 1, or 0 if its name is not one
// of these tries'.
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

// currentMigration returns the Job that shows the state of ws's ledger: one that has migrated
// it as the spec says, even with another pod; otherwise the newest try with the pod that the
// spec describes; otherwise nil. A Job that is being deleted does not count.
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

// obsolete returns the migrations other than current that are not being deleted yet.
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
