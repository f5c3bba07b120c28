package runnerjob

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// Run returns the Spec of a Job that runs a template. What differs between runs and attempts
// reaches the runner through the pod's labels and annotations, because they can still change
// while a Job is suspended, and the container can't.
func Run(ws *v1alpha1.Workspace, template *v1alpha1.JobTemplate) Spec {
	spec := Spec{
		Labels:      map[string]string{},
		Annotations: map[string]string{},
		Command:     contract.CommandRun,
		Env:         environment(ws, template),
		Resources:   template.Resources,
	}
	if template.ConcurrencyKey != "" {
		spec.Annotations[v1alpha1.AnnotationConcurrencyKey] = template.ConcurrencyKey
	}
	if template.Timeout != nil {
		spec.Timeout = template.Timeout.Duration
	}
	return spec
}

func environment(ws *v1alpha1.Workspace, template *v1alpha1.JobTemplate) []corev1.EnvVar {
	args := "{}"
	if template.Args != nil && len(template.Args.Raw) > 0 {
		args = string(template.Args.Raw)
	}
	env := []corev1.EnvVar{
		{Name: contract.EnvQueue, Value: v1alpha1.QueueName(ws.Name)},
		{Name: contract.EnvHandler, Value: template.Handler},
		{Name: contract.EnvArgs, Value: escape(args)},
		fromPod(contract.EnvJobName, "metadata.labels['"+v1alpha1.LabelJob+"']"),
		fromPod(contract.EnvJobID, "metadata.annotations['"+v1alpha1.AnnotationJobUID+"']"),
		fromPod(contract.EnvRun, "metadata.annotations['"+v1alpha1.AnnotationRun+"']"),
		fromPod(contract.EnvAttempt, "metadata.labels['"+v1alpha1.LabelAttempt+"']"),
	}
	if template.Timeout != nil {
		env = append(env, corev1.EnvVar{Name: contract.EnvTimeout, Value: template.Timeout.Duration.String()})
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
