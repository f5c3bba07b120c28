package recurring

import (
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// tickName returns the name that Kubernetes gives the Job that a CronJob creates for a time.
func tickName(recurring *v1alpha1.WorkspaceRecurringJob, at time.Time) string {
	return fmt.Sprintf("%s-%d", recurring.Name, at.Unix()/60)
}

// scheduledAt returns when the tick was due.
func scheduledAt(tick *batchv1.Job) time.Time {
	if at := annotatedTime(tick, batchv1.CronJobScheduledTimestampAnnotation); !at.IsZero() {
		return at
	}
	return tick.CreationTimestamp.Time
}

// unstarted reports whether nobody has started the tick.
func unstarted(tick *batchv1.Job) bool {
	return tick.Annotations[v1alpha1.AnnotationJobUID] == "" && runnerjob.Suspended(tick) && runnerjob.Finished(tick) == nil
}

// templateOf reads the template that the recurring job had when the tick was created.
func templateOf(tick *batchv1.Job) (template v1alpha1.JobTemplate, readable bool) {
	err := json.Unmarshal([]byte(tick.Annotations[v1alpha1.AnnotationTemplate]), &template)
	return template, err == nil && template.Handler != ""
}

// runOf builds the WorkspaceJob of an occurrence.
func runOf(recurring *v1alpha1.WorkspaceRecurringJob, c occurrence) v1alpha1.WorkspaceJob {
	template, readable := templateOf(c.tick)
	if !readable {
		template = *recurring.Spec.Template.DeepCopy()
	}
	labels := map[string]string{v1alpha1.LabelRecurringJob: recurring.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if ws := c.tick.Labels[v1alpha1.LabelWorkspace]; ws != "" {
		labels[v1alpha1.LabelWorkspace] = ws
	}
	return v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: c.name, Namespace: recurring.Namespace, Labels: labels,
			Annotations:     map[string]string{v1alpha1.AnnotationScheduledAt: c.at.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(recurring, v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))},
		},
		Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: template},
	}
}

// annotatedTime returns the annotation's time, or zero if it is missing or not a time.
func annotatedTime(object metav1.Object, annotation string) time.Time {
	at, err := time.Parse(time.RFC3339, object.GetAnnotations()[annotation])
	if err != nil {
		return time.Time{}
	}
	return at
}

func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
