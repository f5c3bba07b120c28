package workspace

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestJobsAreCounted(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("counted").Obj())
	become := func(want v1alpha1.JobCounts) {
		t.Helper()
		testenv.Eventually(t, "the counts are right", func(context.Context) error {
			got := c.workspace("counted").Status.Jobs
			if got == nil {
				return fmt.Errorf("there are none")
			}
			if diff := cmp.Diff(want, *got); diff != "" {
				return fmt.Errorf("%s", diff)
			}
			return nil
		})
	}
	become(v1alpha1.JobCounts{})
	var jobs []*v1alpha1.WorkspaceJob
	for i, state := range []v1alpha1.JobState{"", "Enqueued", "Processing", "Processing", "Succeeded", "Failed", "Deleted", "Scheduled", "Awaiting"} {
		job := &v1alpha1.WorkspaceJob{
			ObjectMeta: metav1.ObjectMeta{Namespace: ws.Status.Namespace, Name: fmt.Sprintf("job-%d", i)},
			Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
		}
		c.create(job)
		if state != "" {
			before := job.DeepCopy()
			job.Status.State = state
			if err := c.Status().Patch(t.Context(), job, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
		}
		jobs = append(jobs, job)
	}
	become(v1alpha1.JobCounts{Scheduled: 1, Awaiting: 1, Enqueued: 1, Processing: 2, Succeeded: 1, Failed: 1, Deleted: 1})
	if err := c.Delete(t.Context(), jobs[2]); err != nil {
		t.Fatal(err)
	}
	become(v1alpha1.JobCounts{Scheduled: 1, Awaiting: 1, Enqueued: 1, Processing: 1, Succeeded: 1, Failed: 1, Deleted: 1})
	// The other reconciler's conditions are untouched.
	if got := condition(c.workspace("counted"), v1alpha1.ConditionReady); got != "True Ready" {
		t.Errorf("Ready is %s", got)
	}
}

// TestCountsAreWrittenSeldom changes states far more often than the interval lets
// through.
func TestCountsAreWrittenSeldom(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("busy").Obj())
	job := &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: ws.Status.Namespace, Name: "flips"},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
	}
	c.create(job)
	seen, started := map[string]bool{}, metav1.Now()
	states := v1alpha1.JobStates() // Deleted is the last
	for i := range 21 * len(states) {
		before := job.DeepCopy()
		job.Status.State = states[i%len(states)]
		if err := c.Status().Patch(t.Context(), job, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		seen[c.workspace("busy").ResourceVersion] = true
	}
	took := metav1.Now().Sub(started.Time)
	if most := int(took/testCountInterval) + 3; len(seen) > most {
		t.Errorf("%d versions of the Workspace in %s; at most %d were expected", len(seen), took, most)
	}
	testenv.Eventually(t, "the last state counts", func(context.Context) error {
		counts := c.workspace("busy").Status.Jobs
		if counts == nil || counts.Deleted != 1 {
			return fmt.Errorf("%+v", counts)
		}
		return nil
	})
}
