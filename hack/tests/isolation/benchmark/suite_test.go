package benchmark

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// clusterT is the cluster in which the operator runs, for one test. Its client may do
// everything.
type clusterT struct {
	client.Client
	*testing.T
	env *testenv.Env
	api []apiResource
}

func cluster(t *testing.T) *clusterT {
	t.Helper()
	env := shared.Env(t)
	// No pod starts here, so the operator should not give up on any.
	shared.Operator(t, "--pending-limit=1h")
	c := &clusterT{Client: env.Client, T: t, env: env}
	c.api = c.discover()
	return c
}

// of returns the cluster for a subtest.
func (c *clusterT) of(t *testing.T) *clusterT {
	part := *c
	part.T = t
	return &part
}

func (c *clusterT) create(object client.Object) {
	c.Helper()
	testenv.CreateFor(c, c.Client, object)
}

func (c *clusterT) remove(object client.Object) {
	c.Helper()
	testenv.DeleteFor(c, c.Client, object)
}

// migrationOf waits for the Job of the workspace's migration.
func (c *clusterT) migrationOf(namespace string) *batchv1.Job {
	c.Helper()
	var found batchv1.Job
	testenv.Eventually(c, "a migration exists in "+namespace, func(ctx context.Context) error {
		var list batchv1.JobList
		if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return err
		}
		for i := range list.Items {
			if strings.HasPrefix(list.Items[i].Name, "ledger-migration-") {
				found = list.Items[i]
				return nil
			}
		}
		return fmt.Errorf("%d Jobs", len(list.Items))
	})
	return &found
}
