package calendar

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/cronjob"
)

const (
	namespace = "workspace-acme"
	name      = "nightly"
)

// tick is a Job that the CronJob controller created.
type tick struct {
	// due is the time that the Job is for, made the time at which it was created.
	due, made time.Time
}

// starting is longer than the controller needs to start: it checks every 100 ms whether its caches
// are synced.
const starting = time.Second

// cluster has Kubernetes' CronJob controller, one CronJob and a clock that jumps.
//
// It lives in a bubble of testing/synctest, where the clock jumps to the next timer whenever all
// goroutines wait. A real API server can't be in there: it is another process with another clock,
// and a test can't set a machine's clock to another year. So client-go's own fake client takes its
// place; all that the controller needs from it is that objects are stored, numbered and watched.
type cluster struct {
	t      *testing.T
	client *fake.Clientset
	ticks  []tick
	events []string
	stop   func()
}

// inCluster runs a case in its own bubble, with the clock at start.
func inCluster(t *testing.T, start time.Time, run func(*cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, client: fake.NewClientset()}
		c.client.PrependReactor("create", "*", c.number)
		c.until(start)
		c.startController()
		defer func() { c.stop() }()
		run(c)
	})
}

// number does what the API server does besides storing an object, and records the Jobs that are
// created.
func (c *cluster) number(action clienttesting.Action) (bool, runtime.Object, error) {
	switch object := action.(clienttesting.CreateAction).GetObject().(type) {
	case *batchv1.CronJob:
		object.UID = "cronjob"
		object.CreationTimestamp = metav1.Now().Rfc3339Copy()
	case *batchv1.Job:
		due, err := time.Parse(time.RFC3339, object.Annotations[batchv1.CronJobScheduledTimestampAnnotation])
		if err != nil {
			c.t.Errorf("Job %q: %v", object.Name, err)
		}
		object.UID = types.UID(object.Name)
		object.CreationTimestamp = metav1.Now().Rfc3339Copy()
		c.ticks = append(c.ticks, tick{due: due, made: time.Now()})
	case *corev1.Event:
		c.events = append(c.events, object.Reason)
	}
	return false, nil, nil
}

// startController starts the controller as kube-controller-manager does, and returns once it has
// processed everything.
func (c *cluster) startController() {
	ctx, cancel := context.WithCancel(klog.NewContext(c.t.Context(), klog.Logger{}))
	factory := informers.NewSharedInformerFactory(c.client, 0)
	controller, err := cronjob.NewControllerV2(ctx, factory.Batch().V1().Jobs(), factory.Batch().V1().CronJobs(), c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	factory.Start(ctx.Done())
	done := make(chan struct{})
	go func() {
		defer close(done)
		controller.Run(ctx, 1)
	}()
	c.stop = func() {
		cancel()
		<-done
		factory.Shutdown()
	}
	c.until(time.Now().Add(starting))
}

// until lets time pass until t, and then waits until no goroutine has anything left to do.
func (c *cluster) until(t time.Time) {
	<-time.After(time.Until(t))
	synctest.Wait()
}

// create creates the CronJob as the operator does.
func (c *cluster) create(schedule, timeZone string) {
	c.t.Helper()
	object := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: batchv1.CronJobSpec{
			Schedule: schedule, TimeZone: &timeZone, ConcurrencyPolicy: batchv1.AllowConcurrent, Suspend: new(false),
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Suspend: new(true)}},
		},
	}
	if _, err := c.client.BatchV1().CronJobs(namespace).Create(c.t.Context(), object, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// change edits the CronJob.
func (c *cluster) change(edit func(*batchv1.CronJobSpec)) {
	c.t.Helper()
	object, err := c.client.BatchV1().CronJobs(namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	edit(&object.Spec)
	if _, err := c.client.BatchV1().CronJobs(namespace).Update(c.t.Context(), object, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// touch changes one of the CronJob's Jobs, as a run's progress does.
func (c *cluster) touch() {
	c.t.Helper()
	jobs, err := c.client.BatchV1().Jobs(namespace).List(c.t.Context(), metav1.ListOptions{})
	if err != nil || len(jobs.Items) == 0 {
		c.t.Fatalf("no Job to change: %v", err)
	}
	job := &jobs.Items[0]
	job.ResourceVersion = fmt.Sprint(len(c.client.Actions()))
	job.Spec.Suspend = new(false)
	if _, err := c.client.BatchV1().Jobs(namespace).Update(c.t.Context(), job, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// recorded returns how many events with a reason the controller has recorded.
func (c *cluster) recorded(reason string) int {
	return len(slices.DeleteFunc(slices.Clone(c.events), func(r string) bool { return !strings.EqualFold(r, reason) }))
}
