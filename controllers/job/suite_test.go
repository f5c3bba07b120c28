package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
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

// testLimits are longer than any test takes on a busy machine: none of their pods and parents
// may be given up. What happens at a limit is tested by age and impatient.
var testLimits = Limits{Pending: time.Hour, Parent: time.Hour}

// manager runs this package's controller; it dies again and again: see testenv.DyingClient.
var manager = testenv.Manager{Shared: testenv.Shared{Options: testenv.Options{ControllerManager: true}}}

func TestMain(m *testing.M) { os.Exit(manager.Run(m)) }

// operator is what runs in the manager.
var operator struct {
	reconciler *Reconciler
	registry   *prometheus.Registry
	events     events.EventRecorder
}

func setUp(ctx context.Context, mgr ctrl.Manager) error {
	operator.registry = prometheus.NewRegistry()
	metrics, err := NewMetrics(operator.registry, mgr.GetClient(), clock.RealClock{})
	if err != nil {
		return err
	}
	source := &admission.Cluster{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	operator.events = mgr.GetEventRecorder("workspace-jobs")
	dying := testenv.DyingClient(mgr.GetClient())
	operator.reconciler = New(Options{
		Client: dying, APIReader: mgr.GetAPIReader(), Reporter: report.New(dying, operator.events, clock.RealClock{}),
		Clock: clock.RealClock{}, Metrics: metrics, Queues: admission.New(source), Limits: testLimits,
	})
	for _, index := range []func(context.Context, client.FieldIndexer) error{admission.Index, continuation.Index, runnerjob.Index, workspace.Index} {
		if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
			return err
		}
	}
	return operator.reconciler.SetupWithManager(mgr)
}

// clusterT is a cluster, in which the operator runs, as one test sees it.
type clusterT struct {
	client.Client
	*testing.T
	env       *testenv.Env
	namespace string
}

// cluster gives the test a namespace of its own, which belongs to no workspace yet.
func cluster(t *testing.T, namespace string) *clusterT {
	t.Helper()
	env := manager.Start(t, cached.Options, setUp)
	c := &clusterT{T: t, Client: env.Client, env: env, namespace: namespace}
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	c.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.RunnerServiceAccount, Namespace: namespace}})
	return c
}

// inWorkspace gives the test a namespace that a ready workspace holds.
func inWorkspace(t *testing.T, namespace string) *clusterT {
	t.Helper()
	c := cluster(t, namespace)
	c.hold()
	return c
}

// hold makes a Workspace that holds the namespace, as its controller would leave
// it.
func (c *clusterT) hold() *v1alpha1.Workspace {
	c.Helper()
	ws := objects.MakeWorkspace(c.namespace).Namespace(c.namespace).Obj()
	c.create(ws)
	if err := c.env.Hold(c.Context(), ws); err != nil {
		c.Fatal(err)
	}
	return ws
}

func (c *clusterT) create(object client.Object) {
	c.Helper()
	testenv.CreateFor(c, c.Client, object)
}

// submit creates a WorkspaceJob that is tried again after a tenth of a second.
func (c *clusterT) submit(name string, change func(*v1alpha1.WorkspaceJobSpec)) {
	c.Helper()
	job := objects.MakeWorkspaceJob(name).In(c.namespace).With(func(job *v1alpha1.WorkspaceJob) {
		job.Spec.Retry = &v1alpha1.RetryPolicy{MinDelay: &v1alpha1.Duration{Duration: 100 * time.Millisecond}}
	}).Obj()
	if change != nil {
		change(&job.Spec)
	}
	c.create(job)
}

func (c *clusterT) change(name string, change func(*v1alpha1.WorkspaceJobSpec)) {
	c.Helper()
	job := c.get(name)
	before := job.DeepCopy()
	change(&job.Spec)
	if err := c.Patch(c.Context(), job, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
}

func (c *clusterT) get(name string) *v1alpha1.WorkspaceJob {
	c.Helper()
	job := &v1alpha1.WorkspaceJob{}
	if err := c.Get(c.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, job); err != nil {
		c.Fatal(err)
	}
	return job
}

// waitFor waits until the job is in the state, for the reason.
func (c *clusterT) waitFor(name string, state v1alpha1.JobState, reason string) *v1alpha1.WorkspaceJob {
	c.Helper()
	var job *v1alpha1.WorkspaceJob
	testenv.Eventually(c, fmt.Sprintf("%s is %s, %s", name, state, reason), func(context.Context) error {
		job = c.get(name)
		if job.Status.State != state || report.Reason(job.Status.Conditions) != reason || job.Status.ObservedGeneration != job.Generation {
			return fmt.Errorf("%s, %s: %s", job.Status.State, report.Reason(job.Status.Conditions), job.Status.Message)
		}
		return nil
	})
	return job
}

// attempt waits for the Job of an attempt.
func (c *clusterT) attempt(name string, number int32) *batchv1.Job {
	c.Helper()
	child := &batchv1.Job{}
	testenv.Eventually(c, fmt.Sprintf("%s has attempt %d", name, number), func(ctx context.Context) error {
		return c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: fmt.Sprintf("%s-%d", name, number)}, child)
	})
	return child
}

// end plays the kubelet for an attempt.
func (c *clusterT) end(name string, number int32, code int32, message string) {
	c.Helper()
	c.env.EndPod(c, c.env.PodOf(c, c.attempt(name, number)), code, message)
}

// jobs counts the Jobs of the namespace.
func (c *clusterT) jobs() int {
	c.Helper()
	var list batchv1.JobList
	if err := c.List(c.Context(), &list, client.InNamespace(c.namespace)); err != nil {
		c.Fatal(err)
	}
	return len(list.Items)
}

// allowNoPods makes a quota that no pod fits in, and waits until the API server counts by it.
func (c *clusterT) allowNoPods() {
	c.Helper()
	c.create(&corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: c.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	})
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: c.namespace},
		Spec: corev1.PodSpec{
			ServiceAccountName: v1alpha1.RunnerServiceAccount, Containers: []corev1.Container{{Name: "runner", Image: "an-image"}},
		},
	}
	testenv.Eventually(c, "the quota holds", func(ctx context.Context) error {
		if err := c.Create(ctx, pod.DeepCopy(), client.DryRunAll); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
			return fmt.Errorf("creating a pod returns: %w", err)
		}
		return nil
	})
}

// age makes a job's attempt, which is under way, older than its pod may take to start.
func (c *clusterT) age(name string, number int32) {
	c.Helper()
	testenv.Eventually(c, fmt.Sprintf("attempt %d of %s is old", number, name), func(ctx context.Context) error {
		job := c.get(name)
		before := job.DeepCopy()
		current := job.Status.UnderWay()
		if current == nil || current.Number != number {
			return errors.New("it is not under way")
		}
		current.CreatedAt = metav1.NewTime(current.CreatedAt.Add(-testLimits.Pending))
		return c.Status().Patch(ctx, job, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}
