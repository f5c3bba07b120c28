package testenv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// makeJob makes a Job whose pod plays the part, and returns the pod.
func makeJob(t *testing.T, env *testenv.Env, name string, part testenv.Part) *corev1.Pod {
	t.Helper()
	args, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelJob: name}},
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
				Name: v1alpha1.RunnerContainer, Image: "none", Env: []corev1.EnvVar{{Name: contract.EnvArgs, Value: string(args)}},
			}}},
		}},
	}
	if err := env.Client.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	return env.PodOf(t, job)
}

// until waits until the pod is in the phase, and returns its container's state.
func until(t *testing.T, env *testenv.Env, pod *corev1.Pod, phase corev1.PodPhase) corev1.ContainerState {
	t.Helper()
	testenv.Eventually(t, pod.Name+" is "+string(phase), func(ctx context.Context) error {
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		if err == nil && pod.Status.Phase != phase {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
	return pod.Status.ContainerStatuses[0].State
}

func TestNodePlaysWhatTheTestSays(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	pod := makeJob(t, env, "fails", testenv.Part{Wait: true, Hold: true, Log: "first\n", Exit: 3, Error: "boom"})
	env.Node.Start("fails")
	until(t, env, pod, corev1.PodRunning)
	clientset, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	follow, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = follow.Close() }()
	if err := env.Node.Say(t.Context(), pod.Namespace, "fails", "second\n"); err != nil {
		t.Fatal(err)
	}
	env.Node.Release("fails")
	// It ends with the pod, and not before.
	if log, err := io.ReadAll(follow); err != nil || string(log) != "first\nsecond\n" {
		t.Errorf("the log is %q, %v", log, err)
	}
	ended := until(t, env, pod, corev1.PodFailed).Terminated
	if ended.ExitCode != 3 || ended.Message != `{"error":"boom"}` {
		t.Errorf("it ended with %+v", ended)
	}
}

func TestNodeStopsWhatIsDeleted(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	pod := makeJob(t, env, "is-deleted", testenv.Part{Hold: true})
	until(t, env, pod, corev1.PodRunning)
	if err := env.Client.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the Job has failed", func(ctx context.Context) error {
		job := &batchv1.Job{}
		err := env.Client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: "is-deleted"}, job)
		if err == nil && job.Status.Failed != 1 {
			err = errors.New("it has not")
		}
		return err
	})
}

func TestNodeEndsOtherJobsWell(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	pod := makeJob(t, env, "succeeds", testenv.Part{})
	if ended := until(t, env, pod, corev1.PodSucceeded).Terminated; ended.ExitCode != 0 {
		t.Errorf("it ended with %+v", ended)
	}
}
