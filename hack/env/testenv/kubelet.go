package testenv

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// run changes a pod's status as a kubelet does when the runner has started.
func run(pod *corev1.Pod) {
	now := metav1.Now()
	setState(pod, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}})
	pod.Status.StartTime = &now
}

// end changes a pod's status as a kubelet does when the runner has exited with the code and
// left the termination message. A runner that was never seen running started a second ago.
func end(pod *corev1.Pod, code int32, message string) {
	now := metav1.Now()
	started := metav1.NewTime(now.Add(-time.Second))
	for _, container := range pod.Status.ContainerStatuses {
		if container.State.Running != nil {
			started = container.State.Running.StartedAt
		}
	}
	phase := corev1.PodSucceeded
	if code != 0 {
		phase = corev1.PodFailed
	}
	setState(pod, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message, StartedAt: started, FinishedAt: now,
	}})
}

func setState(pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, Image: "an-image", State: state}}
}

// PodOf waits for the pod that the Job controller makes for job.
func (e *Env) PodOf(t testing.TB, job *batchv1.Job) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	Eventually(t, "Job "+job.Name+" has a pod", func(ctx context.Context) error {
		err := e.Client.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.ControllerUidLabel: string(job.UID)})
		if err == nil && len(pods.Items) != 1 {
			err = fmt.Errorf("%d pods", len(pods.Items))
		}
		return err
	})
	return &pods.Items[0]
}

// RunPod starts a pod's runner. It is for a test without a [Node].
func (e *Env) RunPod(t testing.TB, pod *corev1.Pod) {
	t.Helper()
	e.change(t, pod, func() { run(pod) })
}

// EndPod ends a pod's runner with an exit code and a termination message. It is for a test
// without a [Node].
func (e *Env) EndPod(t testing.TB, pod *corev1.Pod, code int32, message string) {
	t.Helper()
	e.change(t, pod, func() { end(pod, code, message) })
}

func (e *Env) change(t testing.TB, pod *corev1.Pod, apply func()) {
	t.Helper()
	before := pod.DeepCopy()
	apply()
	if err := e.Client.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
