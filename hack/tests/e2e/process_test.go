package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func resources(name corev1.ResourceName, quantity string) corev1.ResourceList {
	return corev1.ResourceList{name: resource.MustParse(quantity)}
}

// runningPod waits for the running pod of a job's attempt.
func (tn *tenant) runningPod(name string, attempt int) *corev1.Pod {
	tn.t.Helper()
	var found *corev1.Pod
	testenv.Eventually(tn.t, fmt.Sprintf("a running pod of %q, attempt %d", name, attempt), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := shared.client.List(ctx, &pods, client.InNamespace(tn.namespace), client.MatchingLabels{
			v1alpha1.LabelJob: name, v1alpha1.LabelAttempt: strconv.Itoa(attempt),
		}); err != nil {
			return err
		}
		for i := range pods.Items {
			if running(&pods.Items[i]) {
				found = &pods.Items[i]
				return nil
			}
		}
		return fmt.Errorf("none of %d pods is running", len(pods.Items))
	})
	return found
}

func running(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp.IsZero() && len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].State.Running != nil
}

// signalPod sends a signal to all processes of a pod's only container, from outside.
func signalPod(t *testing.T, pod *corev1.Pod, signal syscall.Signal) {
	t.Helper()
	for _, process := range processesIn(t, pod) {
		if err := syscall.Kill(process, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("%s to process %d: %v", signal, process, err)
		}
	}
}

// processesIn returns the processes of a pod's only container.
func processesIn(t *testing.T, pod *corev1.Pod) []int {
	t.Helper()
	_, id, found := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	if !found || id == "" {
		t.Fatalf("pod %q has no container", pod.Name)
	}
	processes, err := processesOf(id)
	if err != nil {
		t.Fatal(err)
	}
	if len(processes) == 0 {
		t.Fatalf("pod %q has no process", pod.Name)
	}
	return processes
}

// processesOf returns the processes in the control group of a container.
func processesOf(container string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var processes []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), container) {
			continue // it has ended meanwhile, or belongs to another container
		}
		process, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		processes = append(processes, process)
	}
	return processes, nil
}

// twin starts a second pod from the template of the Job that a pod belongs to, as
// a control plane that was cut off from the first one's node might.
func (tn *tenant) twin(pod *corev1.Pod) *corev1.Pod {
	tn.t.Helper()
	twin := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name + "-twin",
			Labels: maps.Clone(pod.Labels), Annotations: maps.Clone(pod.Annotations),
		},
		Spec: *pod.Spec.DeepCopy(),
	}
	// With these the Job controller would adopt it.
	for _, label := range []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name"} {
		delete(twin.Labels, label)
	}
	twin.Spec.NodeName = ""
	if err := asKubernetes(tn.t).Create(tn.t.Context(), twin); err != nil {
		tn.t.Fatal(err)
	}
	testenv.Eventually(tn.t, "the second pod runs", func(ctx context.Context) error {
		if err := shared.client.Get(ctx, client.ObjectKeyFromObject(twin), twin); err != nil {
			return err
		}
		if !running(twin) {
			return fmt.Errorf("it is %s", twin.Status.Phase)
		}
		return nil
	})
	return twin
}

// waitLog waits until a pod's log contains a text.
func (tn *tenant) waitLog(pod *corev1.Pod, text string) {
	tn.t.Helper()
	testenv.Eventually(tn.t, fmt.Sprintf("pod %q logs %q", pod.Name, text), func(ctx context.Context) error {
		log, err := shared.log(ctx, pod, corev1.PodLogOptions{})
		if err == nil && !strings.Contains(log, text) {
			err = fmt.Errorf("its log is:\n%s", log)
		}
		return err
	})
}

// waitExit waits until a pod's container has ended, and returns its exit code.
func (tn *tenant) waitExit(pod *corev1.Pod) int32 {
	tn.t.Helper()
	var code int32
	testenv.Eventually(tn.t, fmt.Sprintf("pod %q ends", pod.Name), func(ctx context.Context) error {
		now := &corev1.Pod{}
		if err := shared.client.Get(ctx, client.ObjectKeyFromObject(pod), now); err != nil {
			return err
		}
		ended := now.Status.ContainerStatuses[0].State.Terminated
		if ended == nil {
			return fmt.Errorf("it is %s", now.Status.Phase)
		}
		code = ended.ExitCode
		return nil
	})
	return code
}
