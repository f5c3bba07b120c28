package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// makeJob returns a job of the tenant that is retried once, without delay.
func (tn *tenant) makeJob(name, handler string) *objects.WorkspaceJobBuilder {
	return objects.MakeWorkspaceJob(name).In(tn.namespace).Handler(handler).Retries(1, time.Second)
}

// makeSQL returns a job that runs statements in one transaction.
func (tn *tenant) makeSQL(name string, statements ...string) *objects.WorkspaceJobBuilder {
	return tn.makeJob(name, "sql").ArgsOf(map[string]any{"statements": statements})
}

// start creates the job.
func (tn *tenant) start(b *objects.WorkspaceJobBuilder) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	job := b.Obj()
	if err := shared.client.Create(tn.t.Context(), job); err != nil {
		tn.t.Fatal(err)
	}
	return job
}

func (tn *tenant) job(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{}
	return job, shared.client.Get(ctx, client.ObjectKey{Namespace: tn.namespace, Name: name}, job)
}

// waitJob waits until wanted returns true for a job, and returns the job.
func (tn *tenant) waitJob(name, what string, wanted func(*v1alpha1.WorkspaceJob) bool) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	var found *v1alpha1.WorkspaceJob
	testenv.Eventually(tn.t, fmt.Sprintf("WorkspaceJob %q: %s", name, what), func(ctx context.Context) error {
		job, err := tn.job(ctx, name)
		if err != nil {
			return err
		}
		if !wanted(job) {
			return fmt.Errorf("it is %s: %s", job.Status.State, job.Status.Message)
		}
		found = job
		return nil
	})
	return found
}

// waitFinal waits until a job has ended, and fails the test unless it is in a state.
func (tn *tenant) waitFinal(name string, want v1alpha1.JobState) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	job := tn.waitJob(name, "ended", func(job *v1alpha1.WorkspaceJob) bool { return job.Status.State.Final() })
	if job.Status.State != want {
		tn.t.Fatalf("WorkspaceJob %q is %s, not %s: %s", name, job.Status.State, want, job.Status.Message)
	}
	return job
}

func (tn *tenant) waitState(name string, want v1alpha1.JobState) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	return tn.waitJob(name, string(want), func(job *v1alpha1.WorkspaceJob) bool { return job.Status.State == want })
}

// change patches a job's spec.
func (tn *tenant) change(name string, change func(*v1alpha1.WorkspaceJobSpec)) *v1alpha1.WorkspaceJob {
	tn.t.Helper()
	job, err := tn.job(tn.t.Context(), name)
	if err != nil {
		tn.t.Fatal(err)
	}
	before := job.DeepCopy()
	change(&job.Spec)
	if err := shared.client.Patch(tn.t.Context(), job, client.MergeFrom(before)); err != nil {
		tn.t.Fatal(err)
	}
	return job
}

// wantAttempts compares the attempts' outcomes.
func wantAttempts(t *testing.T, job *v1alpha1.WorkspaceJob, want ...v1alpha1.AttemptOutcome) {
	t.Helper()
	var got []v1alpha1.AttemptOutcome
	for _, attempt := range job.Status.Attempts {
		got = append(got, attempt.Outcome)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("WorkspaceJob %q: attempts %v, want %v", job.Name, got, want)
	}
}

// wantWords fails the test unless the text contains all words.
func wantWords(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not contain %q:\n%s", what, word, text)
		}
	}
}

func keyOf(object client.Object) client.ObjectKey { return client.ObjectKeyFromObject(object) }

func readyOf(job *v1alpha1.WorkspaceJob) metav1.Condition {
	if condition := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionReady); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// batchJobs returns the Kubernetes Jobs of a WorkspaceJob.
func (tn *tenant) batchJobs(ctx context.Context, name string) ([]batchv1.Job, error) {
	var jobs batchv1.JobList
	err := shared.client.List(ctx, &jobs, client.InNamespace(tn.namespace), client.MatchingLabels{v1alpha1.LabelJob: name})
	return jobs.Items, err
}

// wantNothingRun fails the test if there is a Kubernetes Job for a WorkspaceJob.
func (tn *tenant) wantNothingRun(name string) {
	tn.t.Helper()
	jobs, err := tn.batchJobs(tn.t.Context(), name)
	if err != nil {
		tn.t.Fatal(err)
	}
	if len(jobs) > 0 {
		tn.t.Errorf("WorkspaceJob %q has a Job %q", name, jobs[0].Name)
	}
}
