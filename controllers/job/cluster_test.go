package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// In all of these tests but one the operator dies around every write.

func TestAJobRunsToItsResult(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "to-its-result")
	c.submit("nightly", nil)
	pod := c.env.PodOf(t, c.attempt("nightly", 1))
	c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonEnqueued)
	c.env.RunPod(t, pod)
	c.waitFor("nightly", v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	c.env.EndPod(t, pod, 0, `{"result":{"rows":3}}`)
	job := c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)

	if got := string(job.Status.Result.Raw); got != `{"rows":3}` {
		t.Errorf("result %s", got)
	}
	if n := c.jobs(); n != 1 || len(job.Status.Attempts) != 1 || job.Status.RunAttempts != 1 {
		t.Errorf("%d Jobs, %d attempts", n, len(job.Status.Attempts))
	}
	for what, at := range map[string]*metav1.Time{
		"enqueuedAt": job.Status.EnqueuedAt, "startedAt": job.Status.StartedAt, "finishedAt": job.Status.FinishedAt,
	} {
		if at == nil {
			t.Errorf("%s is not set", what)
		}
	}
}

func TestMetricsShowTheQueue(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "metrics")
	c.submit("nightly", nil)
	c.end("nightly", 1, 0, `{}`)
	c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	c.gathered(c.namespace, map[string]float64{
		"workspace_jobs_jobs state=Succeeded": 1, "workspace_jobs_jobs state=Failed": 0,
	})
	// An operator that dies after a write has not counted it, so the test counts these itself.
	operator.reconciler.Metrics.count(&v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "counted"}}, []measure{
		{queued: new(time.Second)}, {outcome: v1alpha1.OutcomeNotStarted}, {outcome: v1alpha1.OutcomeSucceeded, ran: time.Second},
	})
	c.gathered("counted", map[string]float64{
		"workspace_jobs_queue_seconds": 1, "workspace_jobs_run_seconds outcome=Succeeded": 1,
		"workspace_jobs_attempts_total outcome=NotStarted": 1, "workspace_jobs_attempts_total outcome=Succeeded": 1,
	})
}

func (c *clusterT) gathered(workspace string, want map[string]float64) {
	c.Helper()
	testenv.Eventually(c, "the metrics show workspace "+workspace, func(context.Context) error {
		got, err := measured(operator.registry, v1alpha1.QueueName(workspace))
		if err != nil {
			return err
		}
		for name, value := range want {
			if found, ok := got[name]; !ok || found != value {
				return fmt.Errorf("%s is %v, want %v; all: %v", name, found, value, got)
			}
		}
		return nil
	})
}

// measured returns the metrics of one queue: of a histogram, the number of observations.
func measured(registry prometheus.Gatherer, queue string) (map[string]float64, error) {
	families, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name, mine := family.GetName(), false
			for _, label := range metric.GetLabel() {
				if label.GetName() == "queue" {
					mine = label.GetValue() == queue
					continue
				}
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			if mine {
				values[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return values, nil
}

func TestAFailedAttemptIsRetriedAndReported(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, testenv.HealthyNamespace)
	c.submit("flaky", nil)
	c.end("flaky", 1, 1, `{"error":"the first time"}`)
	c.end("flaky", 2, 75, `{"error":"the second time","retryAfter":"1s"}`)
	c.end("flaky", 3, 0, `{"result":3}`)
	job := c.waitFor("flaky", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if n := c.jobs(); n != 3 || len(job.Status.Attempts) != 3 {
		t.Errorf("%d Jobs, %d attempts", n, len(job.Status.Attempts))
	}
	testenv.Eventually(t, "each failure has an event", func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := c.List(ctx, &events, client.InNamespace(c.namespace)); err != nil {
			return err
		}
		reported := ""
		for _, e := range events.Items {
			if e.Regarding.UID == job.UID {
				reported += e.Reason + " " + e.Note + "\n"
			}
		}
		for _, want := range []string{
			"AttemptFailed attempt 1 failed (exit code 1): the first time",
			"AttemptFailed attempt 2 failed (exit code 75): the second time",
			"Succeeded attempt 3 succeeded",
		} {
			if !strings.Contains(reported, want) {
				return fmt.Errorf("no event %q in:\n%s", want, reported)
			}
		}
		return nil
	})
}

func TestAnUnknownHandlerIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "unknown-handler")
	c.submit("nightly", nil)
	c.end("nightly", 1, contract.ExitUsage, `{"error":"this image does not have the job's handler; it has report"}`)
	job := c.waitFor("nightly", v1alpha1.StateFailed, v1alpha1.ReasonInvalidArguments)
	if !strings.Contains(job.Status.Message, "it has report") {
		t.Errorf("message %q", job.Status.Message)
	}
}

func TestArgsOverTheLimitNeverRun(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "args-over-the-limit")
	c.submit("nightly", func(spec *v1alpha1.WorkspaceJobSpec) {
		spec.Args = makeJob().Args(fmt.Sprintf(`{"a":%q}`, strings.Repeat("x", contract.MaxArgs))).Template().Args
	})
	c.waitFor("nightly", v1alpha1.StateFailed, v1alpha1.ReasonInvalidArguments)
	if n := c.jobs(); n != 0 {
		t.Errorf("%d Jobs", n)
	}
}

func TestADelayedJobWaits(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "delayed")
	c.submit("later", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Delay = &v1alpha1.Duration{Duration: 3 * time.Second} })
	child := c.attempt("later", 1)
	created := c.get("later").CreationTimestamp
	if early := created.Add(3 * time.Second).Sub(child.CreationTimestamp.Time); early > 0 {
		t.Errorf("it ran %s early", early)
	}
}

func TestCancelStopsThePodFirst(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "cancel")
	c.submit("nightly", nil)
	child := c.attempt("nightly", 1)
	pod := c.env.PodOf(t, child)
	c.env.RunPod(t, pod)
	c.waitFor("nightly", v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	c.change("nightly", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	testenv.Eventually(c, "its pod is asked to stop", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && pod.DeletionTimestamp.IsZero() {
			err = errors.New("it is not")
		}
		return err
	})
	c.waitFor("nightly", v1alpha1.StateProcessing, v1alpha1.ReasonCancelling)
	c.env.EndPod(t, pod, 143, `{"error":"interrupted"}`)
	job := c.waitFor("nightly", v1alpha1.StateDeleted, v1alpha1.ReasonCancelled)
	if got := job.Status.Attempts[0].Outcome; got != v1alpha1.OutcomeCancelled {
		t.Errorf("outcome %s", got)
	}
}

func TestCancelBeforeTheStartRunsNothing(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "cancel-early")
	c.submit("later", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Delay = &v1alpha1.Duration{Duration: time.Hour} })
	c.waitFor("later", v1alpha1.StateScheduled, v1alpha1.ReasonScheduled)
	c.change("later", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	c.waitFor("later", v1alpha1.StateDeleted, v1alpha1.ReasonCancelled)
	if n := c.jobs(); n != 0 {
		t.Errorf("%d Jobs", n)
	}
}

func TestRequeueIsALevel(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "requeue")
	c.submit("nightly", nil)
	c.end("nightly", 1, contract.ExitPermanent, `{"error":"no table"}`)
	c.waitFor("nightly", v1alpha1.StateFailed, v1alpha1.ReasonPermanentFailure)
	again := metav1.NewTime(time.Now().Add(2 * time.Second))
	for range 2 {
		c.change("nightly", func(spec *v1alpha1.WorkspaceJobSpec) { spec.RequeueAt = &again })
	}
	c.end("nightly", 2, 0, `{"result":2}`)
	job := c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if job.Status.Run != 2 || job.Status.RunAttempts != 1 {
		t.Errorf("run %d, %d attempts in it", job.Status.Run, job.Status.RunAttempts)
	}
	if run := c.attempt("nightly", 2).Annotations[v1alpha1.AnnotationRun]; run != "2" {
		t.Errorf("the second run's Job says it is of run %q", run)
	}
	c.unchanged("nightly")
}

// unchanged checks that the job stays as it is and nothing runs, whatever triggers a reconcile.
func (c *clusterT) unchanged(name string) {
	c.Helper()
	before, jobs := c.get(name), c.jobs()
	for range 6 {
		if _, err := operator.reconciler.Reconcile(c.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(before)}); err != nil {
			c.Fatal(err)
		}
	}
	if after := c.get(name); after.ResourceVersion != before.ResourceVersion || c.jobs() != jobs {
		c.Errorf("version %s became %s; %d Jobs became %d", before.ResourceVersion, after.ResourceVersion, jobs, c.jobs())
	}
}

func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "unchanged")
	c.submit("done", nil)
	c.end("done", 1, 0, `{"result":1}`)
	c.waitFor("done", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	c.submit("later", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Delay = &v1alpha1.Duration{Duration: time.Hour} })
	c.waitFor("later", v1alpha1.StateScheduled, v1alpha1.ReasonScheduled)
	c.unchanged("done")
	c.unchanged("later")
}

func TestTTLDeletesAFinishedJob(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "ttl")
	c.submit("nightly", func(spec *v1alpha1.WorkspaceJobSpec) {
		spec.TTLAfterFinished = &v1alpha1.Duration{Duration: time.Second}
	})
	c.end("nightly", 1, 0, `{}`)
	testenv.Eventually(t, "it is gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: "nightly"}, &v1alpha1.WorkspaceJob{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it still exists: %w", err)
		}
		return nil
	})
}

// plantedJob returns a Job that has the name of the attempt's, and no owner.
func plantedJob(namespace string, labels map[string]string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly-1", Namespace: namespace, Labels: labels},
		Spec: batchv1.JobSpec{Suspend: new(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "runner", Image: "an-image"}},
		}}},
	}
}

func TestAPlantedJobIsNeverAdopted(t *testing.T) {
	t.Parallel()
	for name, labels := range map[string]map[string]string{
		"planted": {v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelJob: "nightly"},
		// The operator's cache leaves it out; only the API server knows it.
		"planted-unseen": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inWorkspace(t, name)
			planted := plantedJob(c.namespace, labels)
			c.create(planted)
			c.submit("nightly", nil)
			job := c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonNameTaken)
			if !strings.Contains(job.Status.Message, `"nightly-1"`) || len(job.Status.Attempts) > 0 {
				t.Errorf("%d attempts; the message should say what is in the way: %s", len(job.Status.Attempts), job.Status.Message)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(planted), planted); err != nil || len(planted.OwnerReferences) > 0 {
				t.Errorf("the planted Job was touched: %v, %v", err, planted.OwnerReferences)
			}
		})
	}
}

func TestAJobOutsideWorkspacesWaitsForOne(t *testing.T) {
	t.Parallel()
	c := cluster(t, "no-workspace")
	c.submit("nightly", nil)
	c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonNotInWorkspace)
	if n := c.jobs(); n != 0 {
		t.Fatalf("%d Jobs in a namespace that belongs to no workspace", n)
	}
	c.hold()
	c.end("nightly", 1, 0, `{}`)
	c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

func TestAJobThatKubernetesRefusesStalls(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "refused")
	c.refuseJobs("this cluster takes no Jobs without a cost centre")
	c.submit("nightly", nil)
	job := c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonJobRefused)
	if !strings.Contains(job.Status.Message, "without a cost centre") || len(job.Status.Attempts) > 0 {
		t.Errorf("%d attempts, message %q", len(job.Status.Attempts), job.Status.Message)
	}
}

// refuseJobs makes the API server refuse every Job of the namespace as invalid, as a
// cluster's own policies may.
func (c *clusterT) refuseJobs(message string) {
	c.Helper()
	invalid := metav1.StatusReasonInvalid
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: c.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
				}}},
			},
			Validations: []admissionv1.Validation{{Expression: "false", Message: message, Reason: &invalid}},
		},
	}
	c.create(policy)
	c.create(&admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	})
	testenv.Eventually(c, "the policy holds", func(ctx context.Context) error {
		err := c.Create(ctx, plantedJob(c.namespace, nil), client.DryRunAll)
		if !apierrors.IsInvalid(err) {
			return fmt.Errorf("creating a Job returns: %w", err)
		}
		return nil
	})
}

func TestAPodThatCantStartIsReportedAndGivenUp(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "cant-start")
	c.allowNoPods()
	c.submit("nightly", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Retry.Limit = new(int32(0)) })
	job := c.waitFor("nightly", v1alpha1.StateEnqueued, v1alpha1.ReasonPodPending)
	if !strings.Contains(job.Status.Message, "exceeded quota") {
		t.Errorf("message %q", job.Status.Message)
	}
	c.age("nightly", 1)
	job = c.waitFor("nightly", v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted)
	if got := job.Status.Attempts[0].Outcome; got != v1alpha1.OutcomeNotStarted {
		t.Errorf("outcome %s", got)
	}
}

func TestALostJobIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "lost")
	c.submit("nightly", nil)
	child := c.attempt("nightly", 1)
	c.env.RunPod(t, c.env.PodOf(t, child))
	c.waitFor("nightly", v1alpha1.StateProcessing, v1alpha1.ReasonProcessing)
	if err := c.Delete(t.Context(), child, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	c.end("nightly", 2, 0, `{"result":1}`)
	job := c.waitFor("nightly", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if got := job.Status.Attempts[0].Outcome; got != v1alpha1.OutcomeLost {
		t.Errorf("outcome of the first attempt: %s", got)
	}
}

func TestAGarbledMessageDoesNoHarm(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "rubbish")
	for name, message := range map[string]string{
		"number": `{"result":1e999}`, "null": `{"result":null}`, "cut": `{"result":{"a":`, "none": "", "array": `[1]`,
		"control": `{"result":"\u0000\u001b[2J"}`,
	} {
		c.submit(name, nil)
		c.end(name, 1, 0, message)
		c.waitFor(name, v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	}
}
