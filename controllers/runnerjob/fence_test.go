package runnerjob

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

func guarded(t *testing.T, wanted bool) (pod corev1.PodSpec) {
	t.Helper()
	ws := makeWorkspace()
	ws.Spec.Network = &v1alpha1.Network{WaitForFence: wanted}
	job := Build(ws, Spec{Name: "nightly-1", Command: contract.CommandRun, Timeout: time.Minute})
	Fence{Namespace: "elsewhere", Image: "manager:1", Limit: 20 * time.Second}.Guard(ws, &job.Spec)
	return job.Spec.Template.Spec
}

func TestTheCheckIsRestrictedAndSeesNothingOfTheTenant(t *testing.T) {
	t.Parallel()
	pod := guarded(t, true)
	if len(pod.InitContainers) != 1 {
		t.Fatalf("%d init containers", len(pod.InitContainers))
	}
	check := pod.InitContainers[0]
	for what, ok := range map[string]bool{
		"the operator's image": check.Image == "manager:1",
		"its own program":      len(check.Command) == 0 && strings.Join(check.Args, " ") == "wait-for-fence --limit=20s --canary=workspace-jobs-canary.elsewhere.svc",
		"no escalation":        !*check.SecurityContext.AllowPrivilegeEscalation && *check.SecurityContext.ReadOnlyRootFilesystem,
		"no capabilities":      len(check.SecurityContext.Capabilities.Drop) == 1 && check.SecurityContext.Capabilities.Drop[0] == "ALL",
		"no Secrets":           len(check.Env) == 0 && len(check.EnvFrom) == 0 && len(check.VolumeMounts) == 0,
		"the runner's time":    *pod.ActiveDeadlineSeconds == 110,
	} {
		if !ok {
			t.Errorf("not so: %s: %+v", what, check)
		}
	}
	if pod := guarded(t, false); len(pod.InitContainers) > 0 || *pod.ActiveDeadlineSeconds != 90 {
		t.Errorf("without being asked for: %+v", pod.InitContainers)
	}
}

func withCheck(state corev1.ContainerState) corev1.Pod {
	return corev1.Pod{Status: corev1.PodStatus{
		Phase:                 corev1.PodFailed,
		InitContainerStatuses: []corev1.ContainerStatus{{Name: v1alpha1.FenceContainer, State: state}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"},
		}}},
	}}
}

func TestAMissingFenceFailsTheAttempt(t *testing.T) {
	t.Parallel()
	pods := []corev1.Pod{withCheck(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, FinishedAt: when(40), Message: "after 30s: the pod can connect\x1b[0m",
	}})}
	job := &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: when(41)}}}}
	end := Observe(job, pods).End
	if end.Succeeded || end.Reason != v1alpha1.ReasonFenceMissing || end.ExitCode != nil || end.At != when(41) ||
		!strings.HasPrefix(end.Error, "FenceMissing: after 30s: the pod can connect") || strings.Contains(end.Error, "\x1b") {
		t.Errorf("got %+v", end)
	}
	if !endSeen(Finished(job), pods) {
		t.Error("the cache has the end, and it is read again")
	}
}

func TestACheckThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	pod := withCheck(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}})
	if got := Observe(&batchv1.Job{}, []corev1.Pod{pod}).Waiting; got != "its pod can't start (ImagePullBackOff): no such image" {
		t.Errorf("got %q", got)
	}
}
