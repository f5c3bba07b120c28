package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestCancelStopsThePodAndRollsBack(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "cancel")
	barrier := tn.closeBarrier()
	tn.start(tn.makeSQL("add", insertEffect, passBarrier))
	barrier.waitFor(1)
	tn.waitState("add", v1alpha1.StateProcessing)
	pod := tn.runningPod("add", 1)
	tn.change("add", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })

	job := tn.waitFinal("add", v1alpha1.StateDeleted)
	wantAttempts(t, job, v1alpha1.OutcomeCancelled)
	barrier.waitFor(0)
	barrier.lift()
	tn.wantEffects(0)
	testenv.Eventually(t, "the pod has stopped", func(ctx context.Context) error {
		var now corev1.Pod
		err := shared.client.Get(ctx, keyOf(pod), &now)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil && now.Status.ContainerStatuses[0].State.Terminated == nil {
			return fmt.Errorf("it is %s", now.Status.Phase)
		}
		return err
	})
}

// TestCancelledJobThatTookEffectIsNotDeleted cancels a job while it commits: a job that took
// effect is not Deleted.
func TestCancelledJobThatTookEffectIsNotDeleted(t *testing.T) {
	t.Parallel()
	tn, held := newTenantBehind(t, "cancel-late", func(tn *tenant) *proxy { return tn.holdAnswer(statement(insertEffect)) })
	tn.start(tn.makeSQL("add", insertEffect))
	held.waitHeld(tn)
	tn.wantEffects(1)
	pod := tn.runningPod("add", 1)
	tn.change("add", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	tn.waitLog(pod, `"msg":"interrupted"`)
	held.passOn()

	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
	tn.wantEffects(1)
}

func TestRequeueRunsOnceMoreForEachTime(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "requeue")
	tn.start(tn.makeSQL("add", insertEffect))
	first := tn.waitFinal("add", v1alpha1.StateSucceeded)
	again := metav1.NewTime(first.Status.FinishedAt.Add(2 * time.Second))
	requeue := func(spec *v1alpha1.WorkspaceJobSpec) { spec.RequeueAt = &again }
	tn.change("add", requeue)

	second := tn.waitJob("add", "run 2 has succeeded", func(job *v1alpha1.WorkspaceJob) bool {
		return job.Status.Run == 2 && job.Status.State == v1alpha1.StateSucceeded
	})
	tn.wantEffects(2)
	wantAttempts(t, second, v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeSucceeded)

	// When a job that was created later has ended, a run that the same time started would
	// have begun.
	tn.change("add", requeue)
	tn.change("add", func(spec *v1alpha1.WorkspaceJobSpec) { spec.TTLAfterFinished = &v1alpha1.Duration{Duration: time.Hour} })
	tn.start(tn.makeSQL("later", "SELECT 1"))
	tn.waitFinal("later", v1alpha1.StateSucceeded)
	third, err := tn.job(t.Context(), "add")
	if err != nil {
		t.Fatal(err)
	}
	if third.Status.Run != 2 || third.Status.State != v1alpha1.StateSucceeded {
		t.Errorf("the same requeueAt again: run %d is %s", third.Status.Run, third.Status.State)
	}
	tn.wantEffects(2)
}

func TestTimeoutEndsTheAttemptAndKeepsItsLog(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "timeout")
	// Time enough to get to the statement that lasts, on any machine.
	tn.start(tn.makeSQL("slow", insertEffect, "SELECT pg_sleep(3600)").Timeout(20*time.Second).Retries(0, time.Second))
	job := tn.waitFinal("slow", v1alpha1.StateFailed)
	wantAttempts(t, job, v1alpha1.OutcomeTimedOut)
	if code := job.Status.Attempts[0].ExitCode; code == nil || *code != contract.ExitTimeout {
		t.Errorf("exit code %v, want %d", code, contract.ExitTimeout)
	}
	tn.wantEffects(0)
	log, err := shared.kubectl(t.Context(), "-n", tn.namespace, "logs", "job/slow-1")
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, "the log", log, "attempt started", "statement done", `"exitCode":124`)
}

func TestTTLAfterFinishedRemovesTheJob(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "ttl")
	tn.start(tn.makeSQL("add", insertEffect).TTL(time.Second))
	testenv.Eventually(t, "the job and its Jobs are gone", func(ctx context.Context) error {
		job, err := tn.job(ctx, "add")
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s: %w", job.Status.State, err)
		}
		jobs, err := tn.batchJobs(ctx, "add")
		if err == nil && len(jobs) > 0 {
			err = fmt.Errorf("the Job %q still exists", jobs[0].Name)
		}
		return err
	})
	tn.wantEffects(1)
}

func TestDrainedNodeCostsNoAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "drain")
	barrier := tn.closeBarrier()
	tn.start(tn.makeSQL("add", insertEffect, passBarrier).Retries(0, time.Second))
	barrier.waitFor(1)
	first := tn.runningPod("add", 1)
	// This is what `kubectl drain` does to each pod of a node.
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: first.Namespace, Name: first.Name}}
	if err := shared.clientset.PolicyV1().Evictions(first.Namespace).Evict(t.Context(), eviction); err != nil {
		t.Fatal(err)
	}
	if second := tn.runningPod("add", 1); second.UID == first.UID {
		t.Fatalf("pod %q was not evicted", first.Name)
	}
	barrier.waitFor(1)
	barrier.lift()

	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
	tn.wantEffects(1)
}
