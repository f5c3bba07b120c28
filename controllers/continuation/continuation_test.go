package continuation

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// values collects what an index has for the objects that are put into it.
type values map[string]bool

func (v values) IndexField(_ context.Context, _ client.Object, _ string, extract client.IndexerFunc) error {
	for i := range 1000 {
		job := &v1alpha1.WorkspaceJob{}
		for n := range 32 {
			job.Spec.After = append(job.Spec.After, v1alpha1.Parent{Name: fmt.Sprintf("parent-%d-%d", i, n)})
		}
		of := extract(job)
		for _, value := range of {
			v[value] = true
		}
		if len(of) > len(job.Spec.After) || len(of) == 0 {
			return fmt.Errorf("a job has %d values", len(of))
		}
	}
	return nil
}

// TestTheIndexIsBounded has a thousand jobs with as many parents as are allowed, all of which
// have other names.
func TestTheIndexIsBounded(t *testing.T) {
	t.Parallel()
	v := values{}
	if err := Index(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	if len(v) > buckets {
		t.Errorf("the index has %d values", len(v))
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for name, c := range map[string]struct {
		status v1alpha1.WorkspaceJobStatus
		want   bool
	}{
		"new":                                   {v1alpha1.WorkspaceJobStatus{}, true},
		"awaiting":                              {v1alpha1.WorkspaceJobStatus{Run: 1, State: v1alpha1.StateAwaiting}, true},
		"begun":                                 {v1alpha1.WorkspaceJobStatus{Run: 1, EnqueuedAt: &now}, false},
		"ended without a start":                 {v1alpha1.WorkspaceJobStatus{Run: 1, State: v1alpha1.StateDeleted}, false},
		"requeued, which waits for a workspace": {v1alpha1.WorkspaceJobStatus{Run: 2, State: v1alpha1.StateEnqueued}, false},
	} {
		if got := Waits(&c.status); got != c.want {
			t.Errorf("%s: it waits for its parents: %t, want %t", name, got, c.want)
		}
	}
}
