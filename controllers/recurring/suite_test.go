package recurring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// manager runs this package's controller; it dies again and again: see testenv.DyingClient.
// Runs are played by the tests.
var manager = testenv.Manager{Shared: testenv.Shared{Options: testenv.Options{ControllerManager: true}}}

func TestMain(m *testing.M) { os.Exit(manager.Run(m)) }

// operator is what runs in the manager.
var operator struct {
	reconciler *Reconciler
	registry   *prometheus.Registry
}

func setUp(ctx context.Context, mgr ctrl.Manager) error {
	operator.registry = prometheus.NewRegistry()
	metrics, err := NewMetrics(operator.registry)
	if err != nil {
		return err
	}
	for _, index := range []func(context.Context, client.FieldIndexer) error{admission.Index, continuation.Index, runnerjob.Index, workspace.Index} {
		if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
			return err
		}
	}
	c := testenv.DyingClient(mgr.GetClient())
	operator.reconciler = New(Options{
		Client: c, APIReader: mgr.GetAPIReader(), Reporter: report.New(c, mgr.GetEventRecorder("workspace-jobs"), clock.RealClock{}),
		Clock: clock.RealClock{}, Metrics: metrics,
	})
	return operator.reconciler.SetupWithManager(mgr)
}

// clusterT is a cluster, in which the operator runs, as one test sees it.
type clusterT struct {
	client.Client
	*testing.T
	namespace string
}

// inWorkspace gives the test a namespace that a workspace holds.
func inWorkspace(t *testing.T, namespace string) *clusterT {
	t.Helper()
	env := manager.Start(t, cached.Options, setUp)
	c := &clusterT{T: t, Client: env.Client, namespace: namespace}
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	c.create(objects.MakeWorkspace(namespace).Namespace(namespace).Obj())
	c.hold(namespace)
	return c
}

// hold plays the workspace controller, and gives the test's workspace this namespace.
func (c *clusterT) hold(namespace string) {
	c.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.Get(c.Context(), client.ObjectKey{Name: c.namespace}, ws); err != nil {
		c.Fatal(err)
	}
	before := ws.DeepCopy()
	ws.Status.ObservedGeneration, ws.Status.Namespace = ws.Generation, namespace
	if err := c.Status().Patch(c.Context(), ws, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
}

func (c *clusterT) create(object client.Object) {
	c.Helper()
	testenv.CreateFor(c, c.Client, object)
}

// yearly creates a recurring job that does not become due while the tests run.
func (c *clusterT) yearly(name string, change func(*v1alpha1.WorkspaceRecurringJobSpec)) {
	c.Helper()
	r := objects.MakeWorkspaceRecurringJob(name).In(c.namespace).Obj()
	if change != nil {
		change(&r.Spec)
	}
	c.create(r)
}

func (c *clusterT) change(name string, change func(*v1alpha1.WorkspaceRecurringJobSpec)) {
	c.Helper()
	r := c.get(name)
	before := r.DeepCopy()
	change(&r.Spec)
	if err := c.Patch(c.Context(), r, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
}

func (c *clusterT) get(name string) *v1alpha1.WorkspaceRecurringJob {
	c.Helper()
	r := &v1alpha1.WorkspaceRecurringJob{}
	if err := c.Get(c.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, r); err != nil {
		c.Fatal(err)
	}
	return r
}

// waitFor waits until the operator has reported the reason.
func (c *clusterT) waitFor(name, reason string) *v1alpha1.WorkspaceRecurringJob {
	c.Helper()
	return c.waitUntil(name, reason, func(r *v1alpha1.WorkspaceRecurringJob) bool {
		return report.Reason(r.Status.Conditions) == reason && r.Status.ObservedGeneration == r.Generation
	})
}

func (c *clusterT) waitUntil(name, what string, wanted func(*v1alpha1.WorkspaceRecurringJob) bool) *v1alpha1.WorkspaceRecurringJob {
	c.Helper()
	var r *v1alpha1.WorkspaceRecurringJob
	testenv.Eventually(c, name+": "+what, func(context.Context) error {
		r = c.get(name)
		if !wanted(r) {
			return fmt.Errorf("it is %+v", r.Status)
		}
		return nil
	})
	return r
}

func (c *clusterT) cronJob(name string) *batchv1.CronJob {
	c.Helper()
	cronJob := &batchv1.CronJob{}
	if err := c.Get(c.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, cronJob); err != nil {
		c.Fatal(err)
	}
	return cronJob
}

// fire makes the Job that Kubernetes would create for a time.
func (c *clusterT) fire(name string, at time.Time) *batchv1.Job {
	c.Helper()
	job := tickOf(c.cronJob(name), at)
	c.create(job)
	return job
}

func tickOf(cronJob *batchv1.CronJob, at time.Time) *batchv1.Job {
	template := cronJob.Spec.JobTemplate.DeepCopy()
	template.Annotations[batchv1.CronJobScheduledTimestampAnnotation] = at.UTC().Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", cronJob.Name, at.Unix()/60), Namespace: cronJob.Namespace,
			Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cronJob, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: template.Spec,
	}
}

func (c *clusterT) run(name string) *v1alpha1.WorkspaceJob {
	c.Helper()
	run := &v1alpha1.WorkspaceJob{}
	testenv.Eventually(c, "there is a run "+name, func(ctx context.Context) error {
		return c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, run)
	})
	return run
}

// end plays the job controller: the run has ended.
func (c *clusterT) end(name string, state v1alpha1.JobState, reason string) {
	c.Helper()
	run := c.run(name)
	before := run.DeepCopy()
	now := metav1.Now()
	run.Status = v1alpha1.WorkspaceJobStatus{
		ObservedGeneration: run.Generation, State: state, EnqueuedAt: &now, FinishedAt: &now,
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reason, LastTransitionTime: now}},
	}
	if err := c.Status().Patch(c.Context(), run, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
}

// gone waits until an object is gone.
func (c *clusterT) gone(object client.Object) {
	c.Helper()
	testenv.Eventually(c, object.GetName()+" is gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil {
			err = errors.New("it still exists")
		}
		return client.IgnoreNotFound(err)
	})
}
