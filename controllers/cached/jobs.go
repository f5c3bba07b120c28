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
	text, ok := job.Annotations[v1alpha1.AnnotationTemplate]
	switch {
	case !ok:
	case job.Annotations[v1alpha1.AnnotationJobUID] != "":
		delete(job.Annotations, v1alpha1.AnnotationTemplate)
	default:
		job.Annotations[v1alpha1.AnnotationTemplate] = trimTemplateText(text)
	}
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
		states = append(states, corev1.ContainerStatus{Name: share(all[i].Name), State: all[i].State})
	}
	return states
}
