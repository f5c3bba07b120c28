package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// workspace changes the test's Workspace as a platform admin would; its controller,
// which does not run here, would find it ready again.
func (c *clusterT) workspace(change func(*v1alpha1.WorkspaceSpec)) {
	c.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.Get(c.Context(), client.ObjectKey{Name: c.namespace}, ws); err != nil {
		c.Fatal(err)
	}
	before := ws.DeepCopy()
	change(&ws.Spec)
	if err := c.Patch(c.Context(), ws, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
	before = ws.DeepCopy()
	ws.Status.Conditions[0].ObservedGeneration = ws.Generation
	if err := c.Status().Patch(c.Context(), ws, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
	// A job that is created before the operator knows of the change starts as if there were none.
	testenv.Eventually(c, "the operator's cache has the workspace's new spec", func(ctx context.Context) error {
		cached := &v1alpha1.Workspace{}
		err := operator.reconciler.Client.Get(ctx, client.ObjectKeyFromObject(ws), cached)
		if err == nil && cached.Generation != ws.Generation {
			err = fmt.Errorf("it has generation %d", cached.Generation)
		}
		return err
	})
}

func (c *clusterT) limit(concurrency int32) {
	c.Helper()
	c.workspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Concurrency = &concurrency })
}

// recurring makes a recurring job, whose controller does not run here.
func (c *clusterT) recurring(name string, policy v1alpha1.ConcurrencyPolicy) *v1alpha1.WorkspaceRecurringJob {
	c.Helper()
	r := &v1alpha1.WorkspaceRecurringJob{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace},
		Spec: v1alpha1.WorkspaceRecurringJobSpec{
			Schedule: "@hourly", ConcurrencyPolicy: policy,
			// Long, so that a test sees a run that waits for its next attempt.
			Template: v1alpha1.JobTemplate{Handler: "sql", Retry: &v1alpha1.RetryPolicy{MinDelay: &v1alpha1.Duration{Duration: time.Hour}}},
		},
	}
	c.create(r)
	return r
}

func triggers(name string) func(*v1alpha1.WorkspaceJobSpec) {
	return func(spec *v1alpha1.WorkspaceJobSpec) {
		*spec = v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: name}}
	}
}

func (c *clusterT) wantSaid(job *v1alpha1.WorkspaceJob, words ...string) {
	c.Helper()
	for _, word := range words {
		if !strings.Contains(job.Status.Message, word) {
			c.Errorf("%s does not say %q: %s", job.Name, word, job.Status.Message)
		}
	}
}

// TestTheQueueKeepsItsLimit also checks that waiting jobs report it, and start in order.
func TestTheQueueKeepsItsLimit(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-limit")
	c.limit(1)
	c.submit("first", nil)
	c.attempt("first", 1)
	c.submit("second", nil)
	c.wantSaid(c.waitFor("second", v1alpha1.StateEnqueued, v1alpha1.ReasonQueued), "queue workspace_queue-limit", "at most 1 job", "no job is ahead of it")
	c.submit("urgent", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Priority = new(int32(10)) })
	c.waitFor("urgent", v1alpha1.StateEnqueued, v1alpha1.ReasonQueued)
	if n := c.jobs(); n != 1 {
		t.Fatalf("%d Jobs, but the limit is 1", n)
	}
	c.end("first", 1, 0, `{}`)
	c.end("urgent", 1, 0, `{}`)
	c.waitFor("urgent", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	c.end("second", 1, 0, `{}`)
	urgent, second := c.get("urgent"), c.waitFor("second", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if second.Status.Attempts[0].CreatedAt.Before(&urgent.Status.Attempts[0].CreatedAt) {
		t.Error("the urgent job came second")
	}
}

// TestARetryGivesItsSlotBack checks that a job between two attempts holds up no other.
func TestARetryGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-retry")
	c.limit(1)
	c.submit("failing", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Retry.MinDelay = &v1alpha1.Duration{Duration: 1e12} })
	c.attempt("failing", 1)
	c.submit("next", nil)
	c.waitFor("next", v1alpha1.StateEnqueued, v1alpha1.ReasonQueued)
	c.end("failing", 1, 1, `{"error":"boom"}`)
	c.end("next", 1, 0, `{}`)
	c.waitFor("next", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestOneOfAConcurrencyKeyAtATime(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-key")
	key := func(spec *v1alpha1.WorkspaceJobSpec) { spec.ConcurrencyKey = "billing" }
	c.submit("first", key)
	c.attempt("first", 1)
	c.submit("second", key)
	c.wantSaid(c.waitFor("second", v1alpha1.StateEnqueued, v1alpha1.ReasonConcurrencyKeyBusy), `"billing"`)
	c.submit("other", nil)
	c.end("other", 1, 0, `{}`) // which is behind it, but not held up
	c.end("first", 1, 0, `{}`)
	c.end("second", 1, 0, `{}`)
	c.waitFor("second", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestASuspendedQueueStartsNothing(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-suspended")
	c.workspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Suspend = true })
	c.submit("nightly", nil)
	c.wantSaid(c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonQueueSuspended), "suspended", `Workspace "queue-suspended"`)
	if n := c.jobs(); n != 0 {
		t.Errorf("%d Jobs in a suspended workspace", n)
	}
	c.workspace(func(spec *v1alpha1.WorkspaceSpec) { spec.Suspend = false })
	c.end("nightly", 1, 0, `{}`)
	c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestAHigherLimitStartsMore(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-higher")
	c.limit(1)
	c.submit("first", nil)
	c.attempt("first", 1)
	c.submit("second", nil)
	c.waitFor("second", v1alpha1.StateEnqueued, v1alpha1.ReasonQueued)
	c.limit(2)
	c.attempt("second", 1)
}

// TestAJobThatCantStartHoldsUpNoOther has a Job that the API server refuses, which
// must not keep its slot.
func TestAJobThatCantStartHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-refused")
	c.limit(1)
	planted := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "taken-1", Namespace: c.namespace},
		Spec: batchv1.JobSpec{Suspend: new(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "b"}},
		}}},
	}
	c.create(planted)
	c.submit("taken", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Priority = new(int32(100)) })
	c.waitFor("taken", v1alpha1.StateEnqueued, v1alpha1.ReasonNameTaken)
	c.submit("next", nil)
	c.end("next", 1, 0, `{}`)
	c.waitFor("next", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestATriggeredRunTakesTheTemplateAsItWas(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "trigger")
	c.submit("by-hand", triggers("daily"))
	c.wantSaid(c.waitFor("by-hand", v1alpha1.StateEnqueued, v1alpha1.ReasonRecurringJobNotFound), `no WorkspaceRecurringJob "daily"`)
	daily := c.recurring("daily", v1alpha1.PolicyForbid)
	child := c.attempt("by-hand", 1)
	before := daily.DeepCopy()
	daily.Spec.Template.Handler = "report"
	if err := c.Patch(t.Context(), daily, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	c.env.EndPod(t, c.env.PodOf(t, child), 1, `{"error":"boom"}`)
	c.waitFor("by-hand", v1alpha1.StateScheduled, v1alpha1.ReasonRetryScheduled)
	if job := c.get("by-hand"); job.Status.Template == nil || job.Status.Template.Handler != "sql" {
		t.Errorf("its template is %+v", job.Status.Template)
	}
	c.change("by-hand", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	c.waitFor("by-hand", v1alpha1.StateDeleted, v1alpha1.ReasonCancelled)
}

func TestForbidNamesTheRunInTheWay(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "overlap-forbid")
	c.recurring("daily", v1alpha1.PolicyForbid)
	c.submit("first", triggers("daily"))
	c.end("first", 1, 1, `{"error":"boom"}`)
	c.waitFor("first", v1alpha1.StateScheduled, v1alpha1.ReasonRetryScheduled)
	// Between two attempts it is unfinished.
	c.submit("second", triggers("daily"))
	c.wantSaid(c.waitFor("second", v1alpha1.StateDeleted, v1alpha1.ReasonSkipped), `"first"`, "Forbid")
	if _, err := c.find("second", 1); !apierrors.IsNotFound(err) {
		t.Errorf("the run that was skipped has a Job: %v", err)
	}
}

func (c *clusterT) find(name string, number int32) (*batchv1.Job, error) {
	job := &batchv1.Job{}
	return job, c.Get(c.Context(), client.ObjectKey{Namespace: c.namespace, Name: fmt.Sprintf("%s-%d", name, number)}, job)
}

func TestAllowRunsBoth(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "overlap-allow")
	c.recurring("daily", v1alpha1.PolicyAllow)
	c.submit("first", triggers("daily"))
	c.attempt("first", 1)
	c.submit("second", triggers("daily"))
	c.attempt("second", 1)
}

func TestReplaceStopsTheEarlierRunFirst(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "overlap-replace")
	c.recurring("daily", v1alpha1.PolicyReplace)
	c.submit("a-first", triggers("daily"))
	pod := c.env.PodOf(t, c.attempt("a-first", 1))
	c.env.RunPod(t, pod)
	c.waitFor("a-first", v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	c.submit("b-second", triggers("daily"))
	c.waitFor("a-first", v1alpha1.StateProcessing, v1alpha1.ReasonCancelling)
	c.wantSaid(c.waitFor("b-second", v1alpha1.StateEnqueued, v1alpha1.ReasonEarlierRunActive), `"a-first"`)
	if _, err := c.find("b-second", 1); !apierrors.IsNotFound(err) {
		t.Fatalf("the new run has started before the old one was gone: %v", err)
	}
	c.env.EndPod(t, pod, 143, `{"error":"interrupted"}`)
	c.wantSaid(c.waitFor("a-first", v1alpha1.StateDeleted, v1alpha1.ReasonReplaced), `"b-second"`)
	c.end("b-second", 1, 0, `{}`)
	c.waitFor("b-second", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestQueueRunsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "overlap-queue")
	c.recurring("daily", v1alpha1.PolicyQueue)
	c.submit("run-00", triggers("daily"))
	c.attempt("run-00", 1)
	for i := 1; i <= v1alpha1.MaxQueuedRuns; i++ {
		name := fmt.Sprintf("run-%02d", i)
		c.submit(name, triggers("daily"))
		c.waitFor(name, v1alpha1.StateEnqueued, v1alpha1.ReasonEarlierRunActive)
	}
	c.submit("run-99", triggers("daily"))
	c.wantSaid(c.waitFor("run-99", v1alpha1.StateDeleted, v1alpha1.ReasonRunQueueFull), "10 runs", `"run-00"`)
	c.end("run-00", 1, 0, `{}`)
	c.attempt("run-01", 1)
	if n := c.jobs(); n != 2 {
		t.Errorf("%d Jobs after two runs have started", n)
	}
}

// schedule makes a run as a schedule and the recurring controller would: a
// suspended Job of the CronJob, and its WorkspaceJob.
func (c *clusterT) schedule(recurring *v1alpha1.WorkspaceRecurringJob, name string) *batchv1.Job {
	c.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.Get(c.Context(), client.ObjectKey{Name: c.namespace}, ws); err != nil {
		c.Fatal(err)
	}
	template, err := json.Marshal(recurring.Spec.Template)
	if err != nil {
		c.Fatal(err)
	}
	likeness := build(ws, &v1alpha1.WorkspaceJob{Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: recurring.Spec.Template}}, v1alpha1.Attempt{})
	likeness.Spec.Suspend = new(true)
	labels := map[string]string{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelWorkspace: ws.Name, v1alpha1.LabelRecurringJob: recurring.Name,
	}
	likeness.Spec.Template.Labels, likeness.Spec.Template.Annotations = labels, nil
	owner := *metav1.NewControllerRef(recurring, v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))
	cronJob := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: recurring.Name, Namespace: c.namespace, Labels: labels, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", Suspend: new(true),
			JobTemplate: batchv1.JobTemplateSpec{Spec: likeness.Spec},
		},
	}
	c.create(cronJob)
	tick := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: c.namespace, Labels: labels,
			Annotations:     map[string]string{v1alpha1.AnnotationTemplate: string(template)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cronJob, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: likeness.Spec,
	}
	c.create(tick)
	c.create(&v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: c.namespace, OwnerReferences: []metav1.OwnerReference{owner},
			Annotations: map[string]string{v1alpha1.AnnotationScheduledAt: stamp(tick.CreationTimestamp.Time)},
		},
		Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: recurring.Spec.Template},
	})
	return tick
}

// TestAScheduledRunStartsItsSchedulesJob checks that the first attempt is the CronJob's Job,
// and that later ones are the WorkspaceJob's own.
func TestAScheduledRunStartsItsSchedulesJob(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "scheduled")
	daily := c.recurring("daily", v1alpha1.PolicyForbid)
	before := daily.DeepCopy()
	daily.Spec.Template.Retry = &v1alpha1.RetryPolicy{MinDelay: &v1alpha1.Duration{Duration: 1e8}}
	if err := c.Patch(t.Context(), daily, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	tick := c.schedule(daily, "daily-29000000")
	pod := c.env.PodOf(t, tick)
	if pod.Labels[v1alpha1.LabelJob] != "daily-29000000" || pod.Labels[v1alpha1.LabelAttempt] != "1" ||
		pod.Annotations[v1alpha1.AnnotationRun] != "1" || pod.Annotations[v1alpha1.AnnotationJobUID] != string(c.get("daily-29000000").UID) {
		t.Errorf("the pod does not know what it runs: %v %v", pod.Labels, pod.Annotations)
	}
	c.env.EndPod(t, pod, 1, `{"error":"boom"}`)
	c.end("daily-29000000", 2, 0, `{"result":1}`)
	job := c.waitFor("daily-29000000", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if a := job.Status.Attempts; len(a) != 2 || a[0].Job != "daily-29000000" || a[1].Job != "daily-29000000-2" {
		t.Errorf("attempts %+v", a)
	}
	if n := c.jobs(); n != 2 {
		t.Errorf("%d Jobs for two attempts", n)
	}
}

// TestAScheduledRunThatIsSkippedLeavesNoJob also checks that nothing of it ran.
func TestAScheduledRunThatIsSkippedLeavesNoJob(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "scheduled-skipped")
	daily := c.recurring("daily", v1alpha1.PolicyForbid)
	c.submit("by-hand", triggers("daily"))
	c.attempt("by-hand", 1)
	tick := c.schedule(daily, "daily-29000000")
	c.waitFor("daily-29000000", v1alpha1.StateDeleted, v1alpha1.ReasonSkipped)
	testenv.Eventually(c, "its Job is gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(tick), &batchv1.Job{})
		if err == nil {
			err = errors.New("it still exists")
		}
		return client.IgnoreNotFound(err)
	})
}

// staleTicks reads a Job as it was before its run started it.
type staleTicks struct {
	client.Client
	stale *batchv1.Job
}

func (s staleTicks) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if job, ok := object.(*batchv1.Job); ok && key.Name == s.stale.Name {
		s.stale.DeepCopyInto(job)
		return nil
	}
	return s.Client.Get(ctx, key, object, options...)
}

// TestALaggingCacheLosesNoScheduledAttempt has a cache that still shows the Job under way as
// a tick. This was seen with a thousand schedules in one minute.
func TestALaggingCacheLosesNoScheduledAttempt(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "scheduled-lagging")
	tick := c.schedule(c.recurring("daily", v1alpha1.PolicyForbid), "daily-29000000")
	c.env.RunPod(t, c.env.PodOf(t, tick))
	c.waitFor(tick.Name, v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	lagging := restarted(staleTicks{Client: operator.reconciler.Client, stale: tick})
	for range 9 {
		// Any error is as acceptable as a conflict here. What counts is what is left.
		_, _ = lagging.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(tick)})
	}
	if job := c.get(tick.Name); len(job.Status.Attempts) != 1 || job.Status.Attempts[0].Outcome != "" {
		t.Errorf("its attempt counts as lost: %+v", job.Status.Attempts)
	}
}

// TestAnAttemptThatNeverHadAPodGivesItsSlotBack has a Job that is suspended and so never
// finishes. Neither the next attempt nor another job may wait for it.
func TestAnAttemptThatNeverHadAPodGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "queue-no-pod")
	c.limit(1)
	c.allowNoPods()
	c.submit("no-pod", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Retry.Limit = new(int32(1)) })
	c.age("no-pod", 1)
	c.age("no-pod", 2)
	c.submit("next", nil)
	c.waitFor("no-pod", v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted)
	c.attempt("next", 1)
}

// busyReader calls happens after each list of WorkspaceJobs.
type busyReader struct {
	client.Reader
	happens func()
}

func (r busyReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := r.Reader.List(ctx, list, options...)
	if list.GetObjectKind().GroupVersionKind().Kind == "WorkspaceJobList" {
		r.happens()
	}
	return err
}

// TestAJobCreatedDuringTheFirstCheckStopsNoQueue creates a job while a new operator compares
// its cache with the API server. The job must not be mistaken for one that the API server has
// deleted: the queue would wait forever for the cache to lose it.
func TestAJobCreatedDuringTheFirstCheckStopsNoQueue(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "first-look")
	come := sync.OnceFunc(func() {
		// One that nobody changes any more once the cache has it.
		c.submit("later", func(spec *v1alpha1.WorkspaceJobSpec) { spec.RunAt = new(metav1.NewTime(time.Now().Add(time.Hour))) })
		testenv.Eventually(c, "the cache has the job, and its state", func(ctx context.Context) error {
			cached := &v1alpha1.WorkspaceJob{}
			err := operator.reconciler.Client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: "later"}, cached)
			if err == nil && cached.Status.State != v1alpha1.StateScheduled {
				err = errors.New("it has not")
			}
			return err
		})
	})
	source := &admission.Cluster{
		Client: operator.reconciler.Client, APIReader: busyReader{operator.reconciler.APIReader, come}, Clock: clock.RealClock{},
	}
	testenv.Eventually(c, "the cache is as new as the API server was", func(ctx context.Context) error {
		fresh, err := source.Fresh(ctx, c.namespace)
		if err == nil && !fresh {
			err = errors.New("it is not")
		}
		return err
	})
}
