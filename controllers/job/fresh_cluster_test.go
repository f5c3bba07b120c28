package job

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestANewOperatorMayAskForWhatItsCacheLacks has an operator with an empty cache ask the API
// server, with its own rights, whether each object that the cache lacks is still there.
func TestANewOperatorMayAskForWhatItsCacheLacks(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "fresh")
	manager, err := c.env.ClientAs(testenv.ManagerUser)
	if err != nil {
		t.Fatal(err)
	}
	c.submit("unseen", nil)
	pod := c.env.PodOf(c, c.attempt("unseen", 1))
	source := &admission.Cluster{Client: world.New(1, time.Now()).Client(), APIReader: manager, Clock: clock.RealClock{}}
	fresh := func() bool {
		t.Helper()
		fresh, err := source.Fresh(t.Context(), c.namespace)
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	if fresh() {
		t.Errorf("a cache without pod %s is called fresh", pod.Name)
	}
	for _, object := range []client.Object{c.get("unseen"), c.attempt("unseen", 1), pod} {
		if err := c.Delete(t.Context(), object, client.GracePeriodSeconds(0), client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "what is gone is not waited for", func(context.Context) error {
		if !fresh() {
			return fmt.Errorf("the cache is still called stale")
		}
		return nil
	})
}
