package runnerjob

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestALateCacheOfPodsLosesNoEnd has a cache with the finished Job, and of its pods only one
// that ended on a drained node. The other one's end is read from the API server.
func TestALateCacheOfPodsLosesNoEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		finished batchv1.JobConditionType
		code     int32
	}{
		"it succeeded": {batchv1.JobComplete, 0},
		"it failed":    {batchv1.JobFailed, 65},
	} {
		begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		w := world.New(1, begin)
		if err := Index(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		job := world.Add(w, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job-1"}, Status: batchv1.JobStatus{
			Conditions: []batchv1.JobCondition{{Type: c.finished, Status: corev1.ConditionTrue}},
		}})
		pod := func(name string, state corev1.ContainerState) *corev1.Pod {
			w.Sleep(time.Minute)
			return world.Add(w, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "acme", Name: name, Labels: map[string]string{batchv1.ControllerUidLabel: string(job.UID)},
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
				},
				Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, State: state}}},
			})
		}
		ended := func(code int32, message string) corev1.ContainerState {
			at := metav1.NewTime(begin.Add(time.Hour))
			return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message, StartedAt: at, FinishedAt: at}}
		}
		pod("drained", ended(143, ""))
		decisive := pod("decisive", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
		w.HearAll("Pod")
		w.Change(decisive, func(object client.Object) {
			if pod, ok := object.(*corev1.Pod); ok {
				pod.Status.ContainerStatuses[0].State = ended(c.code, `{"result":7}`)
			}
		})
		seen, err := Read(t.Context(), w.Client(), w.APIReader(), job, 2*time.Minute)
		if err != nil || seen.End == nil || seen.End.ExitCode == nil || *seen.End.ExitCode != c.code || string(seen.End.Message.Result) != "7" {
			t.Errorf("%s: %v, %+v", name, err, seen.End)
		}
	}
}

// TestALongMessageIsRead checks that a result that the cache does not hold is read from the API
// server, also one that says nothing but what the cache has in its place.
func TestALongMessageIsRead(t *testing.T) {
	t.Parallel()
	for message, size := range map[string]int{`{"result":"` + strings.Repeat("x", 3000) + `"}`: 3002, `{"result":7}`: 1, "(a long message)": 0} {
		w := world.New(1, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		w.Trim = cached.Trim
		if err := Index(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		job := world.Add(w, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job-1"}, Status: batchv1.JobStatus{
			Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}},
		}})
		world.Add(w, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "acme", Name: "pod", Labels: map[string]string{batchv1.ControllerUidLabel: string(job.UID)},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
			},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: v1alpha1.RunnerContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}},
			}}},
		})
		w.HearAll("Pod")
		seen, err := Read(t.Context(), w.Client(), w.APIReader(), job, time.Minute)
		if err != nil || seen.End == nil || len(seen.End.Message.Result) != size {
			t.Errorf("%.20s: %v, %+v", message, err, seen.End)
		}
	}
}
