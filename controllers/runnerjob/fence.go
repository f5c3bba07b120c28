package runnerjob

import (
	"cmp"
	"math"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fence"
)

// CommandWaitForFence is the argument with which the operator's image checks the fence. See
// the package fence.
const CommandWaitForFence = "wait-for-fence"

// Fence is how pods wait until their NetworkPolicies are enforced, in workspaces with
// network.waitForFence.
type Fence struct {
	// Namespace is the operator's own, which has the canary.
	Namespace string
	// Image is the operator's own.
	Image string
	// Limit is how long a pod may wait.
	Limit time.Duration
}

// Guard puts the check in front of the runner, if the workspace wants it. Without an image,
// the API server refuses the Job: no runner starts unchecked.
func (f Fence) Guard(ws *v1alpha1.Workspace, job *batchv1.JobSpec) {
	if !WaitsForFence(ws) {
		return
	}
	pod := &job.Template.Spec
	pod.InitContainers = []corev1.Container{{
		Name:            v1alpha1.FenceContainer,
		Image:           f.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{CommandWaitForFence, "--limit=" + f.Limit.String(), "--canary=" + fence.Host(f.Namespace)},
		// Less than a runner's, so that the pod asks for no more than before.
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
				corev1.ResourceEphemeralStorage: resource.MustParse("1Mi"),
			},
			Limits: corev1.ResourceList{
				corev1.ResourceMemory: resource.MustParse("64Mi"), corev1.ResourceEphemeralStorage: resource.MustParse("16Mi"),
			},
		},
		SecurityContext: restricted(),
		// The message is the last line of the log.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}}
	if pod.ActiveDeadlineSeconds != nil {
		pod.ActiveDeadlineSeconds = new(*pod.ActiveDeadlineSeconds + int64(math.Ceil(f.Limit.Seconds())))
	}
}

// WaitsForFence reports whether the workspace wants it.
func WaitsForFence(ws *v1alpha1.Workspace) bool {
	return ws.Spec.Network != nil && ws.Spec.Network.WaitForFence
}

// fenceMissing returns how the check ended in a pod that was not fenced in time; nil if it
// was, or has no check.
func fenceMissing(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	for i := range pod.Status.InitContainerStatuses {
		status := &pod.Status.InitContainerStatuses[i]
		if ended := status.State.Terminated; status.Name == v1alpha1.FenceContainer && ended != nil && ended.ExitCode != 0 {
			return ended
		}
	}
	return nil
}

func fenceError(ended *corev1.ContainerStateTerminated) string {
	return v1alpha1.ReasonFenceMissing + ": " + cmp.Or(printable.Text(ended.Message), "its check failed: "+ended.Reason)
}
