package job

import (
	"maps"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// build makes the Job of an attempt. What differs between attempts reaches the
// runner through the pod's labels and annotations, which may still change while a
// Job is suspended; the container itself may not.
func build(ws *v1alpha1.Workspace, job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) *batchv1.Job {
	spec := runnerjob.Spec{
		Name:        attempt.Job,
		Owner:       *metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind("WorkspaceJob")),
		Labels:      attemptLabels(job, attempt),
		Annotations: attemptAnnotations(job, attempt),
		Command:     contract.CommandRun,
		Env:         environment(ws, job),
		Resources:   job.Template().Resources,
	}
	if job.Template().Timeout != nil {
		spec.Timeout = job.Template().Timeout.Duration
	}
	return runnerjob.Build(ws, spec)
}

func environment(ws *v1alpha1.Workspace, job *v1alpha1.WorkspaceJob) []corev1.EnvVar {
	args := "{}"
	if job.Template().Args != nil && len(job.Template().Args.Raw) > 0 {
		args = string(job.Template().Args.Raw)
	}
	env := []corev1.EnvVar{
		{Name: contract.EnvQueue, Value: v1alpha1.QueueName(ws.Name)},
		{Name: contract.EnvJobName, Value: job.Name},
		{Name: contract.EnvHandler, Value: job.Template().Handler},
		{Name: contract.EnvArgs, Value: escape(args)},
		fromPod(contract.EnvJobID, "metadata.annotations['"+v1alpha1.AnnotationJobUID+"']"),
		fromPod(contract.EnvRun, "metadata.annotations['"+v1alpha1.AnnotationRun+"']"),
		fromPod(contract.EnvAttempt, "metadata.labels['"+v1alpha1.LabelAttempt+"']"),
	}
	if job.Template().Timeout != nil {
		env = append(env, corev1.EnvVar{Name: contract.EnvTimeout, Value: job.Template().Timeout.Duration.String()})
	}
	return env
}

func fromPod(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

// escape keeps the kubelet from expanding $(NAME) in a tenant's arguments:
// $(DATABASE_URL) there would be the password.
// https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
func escape(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// start makes the Job that a schedule made, which waits suspended, an attempt of
// the WorkspaceJob. It stays the CronJob's too.
func start(tick *batchv1.Job, job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) *batchv1.Job {
	child := tick.DeepCopy()
	child.Spec.Suspend = new(false)
	owner := *metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind("WorkspaceJob"))
	owner.Controller, owner.BlockOwnerDeletion = nil, nil
	child.OwnerReferences = append(child.OwnerReferences, owner)
	for _, meta := range []*metav1.ObjectMeta{&child.ObjectMeta, &child.Spec.Template.ObjectMeta} {
		if meta.Labels == nil {
			meta.Labels = map[string]string{}
		}
		if meta.Annotations == nil {
			meta.Annotations = map[string]string{}
		}
		maps.Copy(meta.Labels, attemptLabels(job, attempt))
		maps.Copy(meta.Annotations, attemptAnnotations(job, attempt))
	}
	return child
}

func attemptLabels(job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) map[string]string {
	return map[string]string{
		v1alpha1.LabelJob:     job.Name,
		v1alpha1.LabelAttempt: strconv.Itoa(int(attempt.Number)),
	}
}

func attemptAnnotations(job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) map[string]string {
	annotations := map[string]string{
		v1alpha1.AnnotationJobUID: string(job.UID),
		v1alpha1.AnnotationRun:    strconv.Itoa(int(attempt.Run)),
	}
	if key := job.Template().ConcurrencyKey; key != "" {
		annotations[v1alpha1.AnnotationConcurrencyKey] = key
	}
	return annotations
}
