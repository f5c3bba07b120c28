package objects

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// JobBuilder builds a Kubernetes Job.
type JobBuilder struct{ job batchv1.Job }

// MakeJob returns a builder of a Job whose pod meets Pod Security's restricted standard.
// No node can pull its image.
func MakeJob(name string) *JobBuilder {
	return &JobBuilder{batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: MakePod("").Obj().Spec}},
	}}
}

// Obj returns the Job.
func (b *JobBuilder) Obj() *batchv1.Job { return b.job.DeepCopy() }

// CronJob returns a CronJob, not due while tests run, that makes such Jobs.
func (b *JobBuilder) CronJob() *batchv1.CronJob {
	return &batchv1.CronJob{
		ObjectMeta: *b.job.ObjectMeta.DeepCopy(),
		Spec:       batchv1.CronJobSpec{Schedule: Yearly, JobTemplate: batchv1.JobTemplateSpec{Spec: *b.job.Spec.DeepCopy()}},
	}
}

// With changes what no other method changes.
func (b *JobBuilder) With(change func(*batchv1.Job)) *JobBuilder { change(&b.job); return b }

// In sets the namespace.
func (b *JobBuilder) In(namespace string) *JobBuilder { b.job.Namespace = namespace; return b }

// UID sets metadata.uid.
func (b *JobBuilder) UID(uid types.UID) *JobBuilder { b.job.UID = uid; return b }

// Created sets when it was created.
func (b *JobBuilder) Created(at time.Time) *JobBuilder {
	b.job.CreationTimestamp = metav1.NewTime(at)
	return b
}

// Annotation adds an annotation.
func (b *JobBuilder) Annotation(key, value string) *JobBuilder {
	metav1.SetMetaDataAnnotation(&b.job.ObjectMeta, key, value)
	return b
}

// Managed labels the Job as one of the operator's.
func (b *JobBuilder) Managed() *JobBuilder {
	metav1.SetMetaDataLabel(&b.job.ObjectMeta, v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	return b
}

// Pod sets the spec of its pod.
func (b *JobBuilder) Pod(spec corev1.PodSpec) *JobBuilder { b.job.Spec.Template.Spec = spec; return b }

// Suspended suspends the Job, and sets the condition that its controller adds.
func (b *JobBuilder) Suspended() *JobBuilder {
	b.job.Spec.Suspend = new(true)
	b.job.Status.Conditions = append(b.job.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue})
	return b
}

// Condition adds a condition that is true since a time.
func (b *JobBuilder) Condition(kind batchv1.JobConditionType, reason, message string, at time.Time) *JobBuilder {
	b.job.Status.Conditions = append(b.job.Status.Conditions, batchv1.JobCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(at),
	})
	return b
}

// PodBuilder builds a Pod.
type PodBuilder struct{ pod corev1.Pod }

// MakePod returns a builder of a pod that meets Pod Security's restricted standard. No node
// can pull its image.
func MakePod(name string) *PodBuilder {
	return &PodBuilder{corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{MakeContainer(v1alpha1.RunnerContainer)},
		},
	}}
}

// MakeContainer returns a container that meets Pod Security's restricted standard.
func MakeContainer(name string) corev1.Container {
	return corev1.Container{
		Name: name, Image: "localhost/none:none",
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// Obj returns the pod.
func (b *PodBuilder) Obj() *corev1.Pod { return b.pod.DeepCopy() }

// With changes what no other method changes.
func (b *PodBuilder) With(change func(*corev1.Pod)) *PodBuilder { change(&b.pod); return b }

// In sets the namespace.
func (b *PodBuilder) In(namespace string) *PodBuilder { b.pod.Namespace = namespace; return b }

// Created sets when it was created.
func (b *PodBuilder) Created(at time.Time) *PodBuilder {
	b.pod.CreationTimestamp = metav1.NewTime(at)
	return b
}

// Reason sets status.reason and status.message.
func (b *PodBuilder) Reason(reason, message string) *PodBuilder {
	b.pod.Status.Reason, b.pod.Status.Message = reason, message
	return b
}

// State sets the state of the runner's container.
func (b *PodBuilder) State(state corev1.ContainerState) *PodBuilder {
	b.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, State: state}}
	return b
}

// Waiting has the runner's container wait.
func (b *PodBuilder) Waiting(reason, message string) *PodBuilder {
	return b.State(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

// Exited ends the runner's container.
func (b *PodBuilder) Exited(code int32, reason, message string, started, finished time.Time) *PodBuilder {
	return b.State(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: metav1.NewTime(started), FinishedAt: metav1.NewTime(finished),
	}})
}
