package continuation

import (
	"context"
	"fmt"
	"testing"

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
