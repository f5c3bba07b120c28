package runnerjob

import (
	"cmp"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// Observation is what a Job and its pods show of a run.
type Observation struct {
	// StartedAt is when the runner's process first started, or nil before that.
	StartedAt *metav1.Time
	// Waiting is why the pod can't start, or "" if that is not known.
	Waiting string
	// End is nil until the Job has finished.
	End *End
}

// End is how a Job ended.
type End struct {
	At        metav1.Time
	Succeeded bool
	// ExitCode of the runner's process; nil if it never ran or its pod is gone.
	ExitCode *int32
	// Reason is the reason that Kubernetes gives, such as OOMKilled, Evicted or
	// DeadlineExceeded. It is often empty.
	Reason string
	// Message is what the runner left; zero if it left nothing readable.
	Message contract.Message
	// Error is a text for a person, and "" for a success.
	Error string
}

// Observe returns what job and the pods that it owns show.
func Observe(job *batchv1.Job, pods []corev1.Pod) Observation {
	pods = byAge(pods)
	var seen Observation
	for i := range pods {
		if started := startOf(&pods[i]); started != nil && (seen.StartedAt == nil || started.Before(seen.StartedAt)) {
			seen.StartedAt = started
		}
	}
	if len(pods) > 0 {
		seen.Waiting = waitingOf(&pods[len(pods)-1])
	}
	if condition := Finished(job); condition != nil {
		seen.Waiting = ""
		seen.End = endOf(condition, pods)
	}
	return seen
}

// Finished returns the condition that ended the Job: Complete or Failed; nil
// while it is unfinished.
func Finished(job *batchv1.Job) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		c := &job.Status.Conditions[i]
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c
		}
	}
	return nil
}

// Over returns the condition that says that the Job runs nothing any more: Complete, Failed, or
// Suspended if none of its pods is left. It returns nil while a pod may run.
func Over(job *batchv1.Job) *batchv1.JobCondition {
	if finished := Finished(job); finished != nil || !stopped(job) {
		return finished
	}
	at := slices.IndexFunc(job.Status.Conditions, saysSuspended)
	return &job.Status.Conditions[at]
}

// stopped reports whether the Job was suspended and has no pod that runs, has succeeded, or
// has ended without being counted by the Job controller: that one may have succeeded.
func stopped(job *batchv1.Job) bool {
	uncounted := job.Status.UncountedTerminatedPods
	return Suspended(job) && slices.ContainsFunc(job.Status.Conditions, saysSuspended) &&
		job.Status.Active == 0 && job.Status.Succeeded == 0 &&
		(job.Status.Terminating == nil || *job.Status.Terminating == 0) &&
		(uncounted == nil || len(uncounted.Succeeded)+len(uncounted.Failed) == 0)
}

func saysSuspended(c batchv1.JobCondition) bool {
	return c.Type == batchv1.JobSuspended && c.Status == corev1.ConditionTrue
}

// Suspended reports whether the Job's spec suspends it.
func Suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// endSeen reports whether the pods include the one that decided how the Job finished, and
// show how its process ended. The cache may have a Job before the end of its pod, and holds no
// long message. A pod
// that ended earlier, such as on a drained node, decides nothing.
func endSeen(finished *batchv1.JobCondition, pods []corev1.Pod) bool {
	succeeded := finished.Type == batchv1.JobComplete
	pods = byAge(pods)
	pod := decisive(pods, succeeded)
	if pod == nil {
		return false
	}
	ended := cmp.Or(terminatedOf(pod), fenceMissing(pod))
	newest := pods[len(pods)-1].UID == pod.UID
	return ended != nil && (ended.ExitCode == 0) == succeeded && (succeeded || newest) && cached.WholeMessage(ended.Message)
}

// byAge returns the pods, oldest first.
func byAge(pods []corev1.Pod) []corev1.Pod {
	return slices.SortedFunc(slices.Values(pods), func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

func endOf(condition *batchv1.JobCondition, pods []corev1.Pod) *End {
	end := &End{At: condition.LastTransitionTime, Succeeded: condition.Type == batchv1.JobComplete}
	pod := decisive(pods, end.Succeeded)
	if pod == nil {
		if !end.Succeeded {
			end.Reason = condition.Reason
			end.Error = fmt.Sprintf("the attempt's pod is gone and left no message (%s: %s)", condition.Reason, condition.Message)
		}
		return end
	}
	end.Reason = pod.Status.Reason
	if missing := fenceMissing(pod); missing != nil && !end.Succeeded && end.Reason == "" {
		end.Reason, end.Error = v1alpha1.ReasonFenceMissing, fenceError(missing)
		return end
	}
	if terminated := terminatedOf(pod); terminated != nil {
		// A container that the kubelet has lost is reported without times.
		if terminated.FinishedAt.Unix() > 0 {
			end.At = terminated.FinishedAt
		}
		end.ExitCode = new(terminated.ExitCode)
		end.Reason = cmp.Or(end.Reason, terminated.Reason)
		// Without a readable message, the exit code still counts.
		end.Message, _ = contract.ParseMessage(terminated.Message)
		end.Message.Error = printable.Text(end.Message.Error)
	}
	if !end.Succeeded {
		end.Error = errorOf(end, pod)
	}
	return end
}

// decisive returns the newest pod that ended as the Job did, or else the newest one.
func decisive(pods []corev1.Pod, succeeded bool) *corev1.Pod {
	for i := len(pods) - 1; i >= 0; i-- {
		if t := terminatedOf(&pods[i]); t != nil && (t.ExitCode == 0) == succeeded {
			return &pods[i]
		}
	}
	if len(pods) == 0 {
		return nil
	}
	return &pods[len(pods)-1]
}

func errorOf(end *End, pod *corev1.Pod) string {
	switch {
	case end.Reason == "OOMKilled":
		return "the runner ran out of memory (OOMKilled): raise resources.limits.memory of the job or of the workspace"
	case end.Message.Error != "":
		return end.Message.Error
	case end.Reason == "DeadlineExceeded":
		return "the attempt's timeout ran out and the runner did not stop by itself"
	case pod.Status.Message != "":
		return fmt.Sprintf("%s: %s", pod.Status.Reason, pod.Status.Message)
	case end.ExitCode != nil:
		return fmt.Sprintf("the runner exited with code %d and left no message; its log may say more", *end.ExitCode)
	default:
		return "the attempt's pod failed before the runner started"
	}
}

func containerOf(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == v1alpha1.RunnerContainer {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

func terminatedOf(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if status := containerOf(pod); status != nil {
		return status.State.Terminated
	}
	return nil
}

func startOf(pod *corev1.Pod) *metav1.Time {
	status := containerOf(pod)
	switch {
	case status == nil:
		return nil
	case status.State.Running != nil:
		return &status.State.Running.StartedAt
	// A container that never ran can be terminated too, with the epoch as its start.
	case status.State.Terminated != nil && status.State.Terminated.StartedAt.Unix() > 0:
		return &status.State.Terminated.StartedAt
	default:
		return nil
	}
}

// waitingOf returns why the pod can't start according to its own status, or "" if the
// status shows no obstacle.
func waitingOf(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "" {
			return fmt.Sprintf("no node can run its pod (%s): %s", c.Reason, c.Message)
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.State.Waiting == nil {
			continue
		}
		switch waiting := status.State.Waiting; waiting.Reason {
		case "", "ContainerCreating", "PodInitializing":
		default:
			return fmt.Sprintf("its pod can't start (%s): %s", waiting.Reason, waiting.Message)
		}
	}
	return ""
}
