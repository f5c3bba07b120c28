package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestAPipelineAppliesTheSamplesOverAndOver checks that applying the samples again changes
// nothing: there are no conflicts about fields, no generation grows, and no job runs again.
// Whether the jobs succeed does not matter, since acme's tables don't exist here.
func TestAPipelineAppliesTheSamplesOverAndOver(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "acme")
	newTenant(t, "globex")
	apply := func() {
		t.Helper()
		for _, folder := range []string{"jobs", "recurring", "chains", "triggers", "backfill"} {
			_, err := shared.kubectl(t.Context(), "apply", "--server-side", "--field-manager=argocd-controller",
				"-k", filepath.Join(shared.root, "config", "samples", folder))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	apply()
	var applied map[string]string
	testenv.Eventually(t, "the operator has seen all of them", func(ctx context.Context) error {
		var err error
		applied, err = tn.generations(ctx)
		return err
	})
	for range 10 {
		apply()
	}
	now, err := tn.generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(applied, now); diff != "" {
		t.Errorf("applying the samples again changed (-before +after):\n%s", diff)
	}
}

// generations returns the generations and UIDs of the tenant's objects, or an error if the
// operator has not seen one of them or one has begun a second run.
func (tn *tenant) generations(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	note := func(kind string, object client.Object) {
		found[kind+" "+object.GetName()] = fmt.Sprintf("%s generation %d", object.GetUID(), object.GetGeneration())
	}
	var jobs v1alpha1.WorkspaceJobList
	if err := shared.client.List(ctx, &jobs, client.InNamespace(tn.namespace)); err != nil {
		return nil, err
	}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		if job.Status.ObservedGeneration != job.Generation || job.Status.Run != 1 {
			return nil, fmt.Errorf("WorkspaceJob %q: observed generation %d of %d, run %d", job.Name, job.Status.ObservedGeneration, job.Generation, job.Status.Run)
		}
		if _, scheduled := job.ScheduledAt(); !scheduled {
			note("WorkspaceJob", job)
		}
	}
	var recurring v1alpha1.WorkspaceRecurringJobList
	if err := shared.client.List(ctx, &recurring, client.InNamespace(tn.namespace)); err != nil {
		return nil, err
	}
	for i := range recurring.Items {
		if r := &recurring.Items[i]; r.Status.ObservedGeneration != r.Generation {
			return nil, fmt.Errorf("WorkspaceRecurringJob %q: observed generation %d of %d", r.Name, r.Status.ObservedGeneration, r.Generation)
		}
		note("WorkspaceRecurringJob", &recurring.Items[i])
	}
	var cronJobs batchv1.CronJobList
	if err := shared.client.List(ctx, &cronJobs, client.InNamespace(tn.namespace)); err != nil {
		return nil, err
	}
	for i := range cronJobs.Items {
		note("CronJob", &cronJobs.Items[i])
	}
	if len(jobs.Items) < 8 || len(recurring.Items) < 4 || len(cronJobs.Items) != len(recurring.Items) {
		return nil, fmt.Errorf("%d jobs, %d recurring jobs, %d CronJobs", len(jobs.Items), len(recurring.Items), len(cronJobs.Items))
	}
	return found, nil
}
