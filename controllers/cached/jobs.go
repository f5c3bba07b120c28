package cached

import (
	"encoding/json"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// trimJob trims a WorkspaceJob. Of a finished one it keeps what shows that nothing has to
// be done about it, what other jobs need to know about it, and what the counts need. The rest
// is read from the API server when something has to be done about it.
func trimJob(job *v1alpha1.WorkspaceJob) {
	trimTemplate(&job.Spec.JobTemplate)
	trimTemplate(job.Status.Template)
	if !job.Status.State.Final() {
		shareMessage(job.Status.Message, job.Status.Conditions)
		return
	}
	job.Spec = v1alpha1.WorkspaceJobSpec{
		JobTemplate: v1alpha1.JobTemplate{
			Handler: share(job.Spec.Handler), Args: job.Spec.Args, TTLAfterFinished: job.Spec.TTLAfterFinished,
		},
		RecurringJobRef: job.Spec.RecurringJobRef, After: job.Spec.After,
		Cancelled: job.Spec.Cancelled, RequeueAt: job.Spec.RequeueAt,
	}
	status := &job.Status
	status.State, status.Queue = v1alpha1.JobState(share(string(status.State))), share(status.Queue)
	status.Message, status.Result = "", nil
	status.Conditions = reasonOnly(status.Conditions)
	if status.Template != nil {
		status.Template = &v1alpha1.JobTemplate{TTLAfterFinished: status.Template.TTLAfterFinished}
	}
	for i := range status.Attempts {
		a := &status.Attempts[i]
		status.Attempts[i] = v1alpha1.Attempt{
			Number: a.Number, Run: a.Run, Job: a.Job, JobUID: a.JobUID, CreatedAt: a.CreatedAt, FinishedAt: a.FinishedAt,
		}
	}
}

// shareMessage keeps one copy of a message that the conditions have too.
func shareMessage(message string, conditions []metav1.Condition) {
	for i := range conditions {
		if conditions[i].Message == message {
			conditions[i].Message = message
		}
	}
}

// reasonOnly keeps the reason of the condition Ready.
func reasonOnly(of []metav1.Condition) []metav1.Condition {
	for i := range of {
		if of[i].Type == v1alpha1.ConditionReady {
			return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: of[i].Status, Reason: share(of[i].Reason)}}
		}
	}
	return nil
}

// trimBatchJob drops what the Job runs, and keeps how it runs. The template that a tick
// carries is dropped once the tick belongs to a run.
func trimBatchJob(job *batchv1.Job) {
	job.Spec = batchv1.JobSpec{Suspend: job.Spec.Suspend}
	job.Status.Conditions = endsOnly(job.Status.Conditions)
	text, ok := job.Annotations[v1alpha1.AnnotationTemplate]
	switch {
	case !ok:
	case job.Annotations[v1alpha1.AnnotationJobUID] != "":
		delete(job.Annotations, v1alpha1.AnnotationTemplate)
	default:
		job.Annotations[v1alpha1.AnnotationTemplate] = trimTemplateText(text)
	}
}

// endsOnly keeps the conditions that say that a Job runs nothing any more.
func endsOnly(all []batchv1.JobCondition) []batchv1.JobCondition {
	var ends []batchv1.JobCondition
	for _, c := range all {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed || c.Type == batchv1.JobSuspended) {
			c.Type, c.Reason = batchv1.JobConditionType(share(string(c.Type))), share(c.Reason)
			ends = append(ends, c)
		}
	}
	return ends
}

// trimTemplateText trims the arguments of a template that is written as JSON. Text that
// is not JSON becomes empty.
func trimTemplateText(text string) string {
	template := &v1alpha1.JobTemplate{}
	if err := json.Unmarshal([]byte(text), template); err != nil {
		return ""
	}
	trimTemplate(template)
	trimmed, err := json.Marshal(template)
	if err != nil {
		return ""
	}
	return string(trimmed)
}

// trimPod keeps how the pod runs and ended.
func trimPod(pod *corev1.Pod) {
	// While the pod runs, it takes up its concurrencyKey.
	key, taken := pod.Annotations[v1alpha1.AnnotationConcurrencyKey]
	pod.Annotations = nil
	if taken {
		pod.Annotations = map[string]string{v1alpha1.AnnotationConcurrencyKey: key}
	}
	pod.Spec = corev1.PodSpec{}
	pod.Status = corev1.PodStatus{
		Phase: pod.Status.Phase, Reason: pod.Status.Reason, Message: pod.Status.Message,
		Conditions:            failedConditions(pod.Status.Conditions),
		InitContainerStatuses: statesOnly(pod.Status.InitContainerStatuses),
		ContainerStatuses:     statesOnly(pod.Status.ContainerStatuses),
	}
}

// failedConditions returns those that say what the pod lacks.
func failedConditions(all []corev1.PodCondition) []corev1.PodCondition {
	var failed []corev1.PodCondition
	for i := range all {
		if all[i].Status == corev1.ConditionFalse && all[i].Message != "" {
			failed = append(failed, all[i])
		}
	}
	return failed
}

func statesOnly(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var states []corev1.ContainerStatus
	for i := range all {
		if ended := all[i].State.Terminated; ended != nil {
			ended.Message, ended.Reason, ended.ContainerID = shortMessage(ended.Message), share(ended.Reason), ""
		}
		states = append(states, corev1.ContainerStatus{Name: share(all[i].Name), State: all[i].State})
	}
	return states
}

const (
	// maxMessage is how many bytes a termination message may have to be cached as it is.
	maxMessage = 256
	// longMessage stands for a longer one. A runner that leaves the same text only has it
	// read once more.
	longMessage = "(a long message)"
)

func shortMessage(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return longMessage
}

// WholeMessage reports whether a termination message from the cache is what the container
// left. Otherwise it is at the API server.
func WholeMessage(message string) bool { return message != longMessage }
