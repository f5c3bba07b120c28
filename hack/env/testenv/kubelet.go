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

// RunPod plays the kubelet: the pod's runner has started.
func (e *Env) RunPod(t testing.TB, pod *corev1.Pod) {
	t.Helper()
	e.writePod(t, pod, corev1.PodRunning, corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()},
	})
}

// EndPod plays the kubelet: the pod's runner, which started a second ago, has
// exited with the code and left the termination message.
func (e *Env) EndPod(t testing.TB, pod *corev1.Pod, code int32, message string) {
	t.Helper()
	phase := corev1.PodSucceeded
	if code != 0 {
		phase = corev1.PodFailed
	}
	now := metav1.Now()
	e.writePod(t, pod, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: message, StartedAt: metav1.NewTime(now.Add(-time.Second)), FinishedAt: now,
	}})
}

func (e *Env) writePod(t testing.TB, pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	t.Helper()
	before := pod.DeepCopy()
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, Image: "an-image", State: state}}
	if err := e.Client.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
