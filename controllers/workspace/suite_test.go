package workspace

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// manager runs this package's controllers.
var manager = testenv.Manager{Shared: testenv.Shared{Options: testenv.Options{ControllerManager: true}}}

func TestMain(m *testing.M) { os.Exit(manager.Run(m)) }

// operator is what runs in the manager.
var operator struct{ reconciler *Reconciler }

func setUp(ctx context.Context, mgr ctrl.Manager) error {
	if err := runnerjob.Index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	operator.reconciler = New(Options{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{},
		Reporter: report.New(mgr.GetClient(), mgr.GetEventRecorder(v1alpha1.ManagedBy), clock.RealClock{}),
	})
	if err := operator.reconciler.SetupWithManager(mgr); err != nil {
		return err
	}
	counter := NewCounter(mgr.GetClient(), clock.RealClock{})
	counter.interval = testCountInterval
	return counter.SetupWithManager(mgr)
}

// testCountInterval is short, so that the test needn't wait.
const testCountInterval = 2 * time.Second

// cluster returns a client that may do everything, in a cluster where the operator
// runs.
func cluster(t *testing.T) *clusterT {
	t.Helper()
	env := manager.Start(t, cached.Options, setUp)
	return &clusterT{t: t, Client: env.Client, env: env}
}

// clusterT is a cluster as one test sees it.
type clusterT struct {
	client.Client
	t   *testing.T
	env *testenv.Env
}

// create makes the object, and removes it after the test.
func (c *clusterT) create(object client.Object) {
	c.t.Helper()
	if err := c.Create(c.t.Context(), object); err != nil {
		c.t.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
	c.t.Cleanup(func() {
		if err := client.IgnoreNotFound(c.Delete(context.Background(), object)); err != nil {
			c.t.Errorf("clean up %T %q: %v", object, object.GetName(), err)
		}
	})
}

func (c *clusterT) update(name string, change func(*v1alpha1.Workspace)) {
	c.t.Helper()
	ws := c.workspace(name)
	before := ws.DeepCopy()
	change(ws)
	if err := c.Patch(c.t.Context(), ws, client.MergeFrom(before)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clusterT) workspace(name string) *v1alpha1.Workspace {
	c.t.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.Get(c.t.Context(), client.ObjectKey{Name: name}, ws); err != nil {
		c.t.Fatal(err)
	}
	return ws
}

// condition returns what the workspace's condition says, as "True Ready".
func condition(ws *v1alpha1.Workspace, kind string) string {
	found := meta.FindStatusCondition(ws.Status.Conditions, kind)
	if found == nil {
		return "none"
	}
	return fmt.Sprintf("%s %s", found.Status, found.Reason)
}

func message(ws *v1alpha1.Workspace, kind string) string {
	if found := meta.FindStatusCondition(ws.Status.Conditions, kind); found != nil {
		return found.Message
	}
	return ""
}

// waitFor waits until the workspace's condition says want, for its current spec.
func (c *clusterT) waitFor(name, kind, want string) *v1alpha1.Workspace {
	c.t.Helper()
	var ws *v1alpha1.Workspace
	testenv.Eventually(c.t, name+": "+kind+" is "+want, func(context.Context) error {
		ws = c.workspace(name)
		if got := condition(ws, kind); got != want || ws.Status.ObservedGeneration != ws.Generation {
			return fmt.Errorf("%s of generation %d (now %d): %s", got, ws.Status.ObservedGeneration, ws.Generation, message(ws, kind))
		}
		return nil
	})
	return ws
}

// ready creates a workspace and waits until it is ready.
func (c *clusterT) ready(ws *v1alpha1.Workspace) *v1alpha1.Workspace {
	c.t.Helper()
	c.create(ws)
	c.endMigration(ws, 0, `{"result":{"schemaVersion":7}}`)
	return c.waitFor(ws.Name, v1alpha1.ConditionReady, "True Ready")
}

// migration waits for the try of ws's migration.
func (c *clusterT) migration(ws *v1alpha1.Workspace, try int) *batchv1.Job {
	c.t.Helper()
	job := migrationJob(ws, try)
	testenv.Eventually(c.t, "there is Job "+job.Name, func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(job), job)
		if err == nil && (!controls(ws, job) || !job.DeletionTimestamp.IsZero()) {
			return fmt.Errorf("it belongs to %v, deleted at %v", job.OwnerReferences, job.DeletionTimestamp)
		}
		return err
	})
	return job
}

// endMigration plays the kubelet: the newest migration's pod ends with the code
// and the message.
func (c *clusterT) endMigration(ws *v1alpha1.Workspace, code int32, said string) *batchv1.Job {
	c.t.Helper()
	return c.endTry(ws, 1, code, said)
}

func (c *clusterT) endTry(ws *v1alpha1.Workspace, try int, code int32, said string) *batchv1.Job {
	c.t.Helper()
	job := c.migration(ws, try)
	c.env.EndPod(c.t, c.env.PodOf(c.t, job), code, said)
	return job
}
