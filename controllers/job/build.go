package job

import (
	"maps"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// build makes the Job of an attempt.
func build(ws *v1alpha1.Workspace, job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) *batchv1.Job {
	spec := runnerjob.Run(ws, job.Template())
	spec.Name = attempt.Job
	spec.Owner = *metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind("WorkspaceJob"))
	if series := job.Series(); series != "" {
		spec.Labels[v1alpha1.LabelRecurringJob] = series
	}
	maps.Copy(spec.Labels, attemptLabels(job, attempt))
	maps.Copy(spec.Annotations, attemptAnnotations(job, attempt))
	return runnerjob.Build(ws, spec)
}

// released returns the suspended tick as a running attempt of the WorkspaceJob. The CronJob
// stays its controller.
func released(tick *batchv1.Job, job *v1alpha1.WorkspaceJob, attempt v1alpha1.Attempt) *batchv1.Job {
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
	return map[string]string{
		v1alpha1.AnnotationJobUID: string(job.UID),
		v1alpha1.AnnotationRun:    strconv.Itoa(int(attempt.Run)),
	}
}
