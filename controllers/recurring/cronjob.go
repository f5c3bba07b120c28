package recurring

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// annotationApplied is a hash of what the operator wanted when it wrote the CronJob. Only
// the hash shows that the operator no longer wants a field.
const annotationApplied = v1alpha1.Group + "/applied"

// build returns the CronJob that is wanted. Its Jobs are created suspended, and
// Kubernetes removes none of them: the operator starts each when its run has a slot in
// the queue, and removes it once it has read how the Job ended.
func build(o observed, kept *plan) *batchv1.CronJob {
	spec := o.recurring.Spec
	cronJob := &batchv1.CronJob{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.recurring.Name, Namespace: o.recurring.Namespace,
			Labels:          labelsOf(o),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.recurring, v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))},
		},
		Spec: batchv1.CronJobSpec{
			Schedule:                   kept.String(),
			TimeZone:                   new(kept.zone),
			Suspend:                    new(spec.Suspend),
			ConcurrencyPolicy:          batchv1.AllowConcurrent,
			SuccessfulJobsHistoryLimit: new(int32(math.MaxInt32)),
			FailedJobsHistoryLimit:     new(int32(math.MaxInt32)),
			JobTemplate:                jobTemplate(o, &o.recurring.Spec.Template),
		},
	}
	if deadline := spec.StartingDeadline; deadline != nil {
		cronJob.Spec.StartingDeadlineSeconds = new(int64(math.Ceil(deadline.Seconds())))
	}
	cronJob.Annotations = map[string]string{annotationApplied: hashOf(o, cronJob)}
	cronJob.Annotations[v1alpha1.AnnotationScheduleSince] = since(o, cronJob, v1alpha1.AnnotationScheduleSince, sameSchedule)
	cronJob.Annotations[v1alpha1.AnnotationRunningSince] = since(o, cronJob, v1alpha1.AnnotationRunningSince, sameSuspend)
	cronJob.Spec.JobTemplate.Annotations[v1alpha1.AnnotationScheduleSince] = cronJob.Annotations[v1alpha1.AnnotationScheduleSince]
	if o.cronJob != nil {
		cronJob.UID = o.cronJob.UID
	}
	return cronJob
}

// hashOf returns the hash of what is wanted. It is the same for a recurring job from the
// cache, which lacks large arguments, and from the API server.
func hashOf(o observed, wanted *batchv1.CronJob) string {
	template := o.recurring.Spec.Template
	if short := cached.Args(template.Args); short != template.Args {
		template.Args = short
		wanted = wanted.DeepCopy()
		wanted.Spec.JobTemplate = jobTemplate(o, &template)
	}
	return report.Hash(wanted)
}

func labelsOf(o observed) map[string]string {
	return map[string]string{
		v1alpha1.LabelManagedBy:    v1alpha1.ManagedBy,
		v1alpha1.LabelWorkspace:    o.workspace.Name,
		v1alpha1.LabelRecurringJob: o.recurring.Name,
	}
}

func jobTemplate(o observed, template *v1alpha1.JobTemplate) batchv1.JobTemplateSpec {
	spec := runnerjob.Run(o.workspace, template)
	spec.Labels[v1alpha1.LabelRecurringJob] = o.recurring.Name
	job := runnerjob.Build(o.workspace, spec)
	o.fence.Guard(o.workspace, &job.Spec)
	job.Spec.Suspend = new(true)
	annotations := map[string]string{v1alpha1.AnnotationTemplate: templateText(template)}
	maps.Copy(annotations, job.Annotations)
	return batchv1.JobTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: job.Labels, Annotations: annotations},
		Spec:       job.Spec,
	}
}

// templateText returns the template as JSON. That can't fail: the template was read from
// JSON.
func templateText(template *v1alpha1.JobTemplate) string {
	text, err := json.Marshal(template)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// since returns the time in the observed CronJob's annotation if same finds no change
// between the two CronJobs. Otherwise it returns now.
func since(o observed, wanted *batchv1.CronJob, annotation string, same func(a, b *batchv1.CronJob) bool) string {
	if o.cronJob != nil && same(wanted, o.cronJob) {
		if !annotatedTime(o.cronJob, annotation).IsZero() {
			return o.cronJob.Annotations[annotation]
		}
	}
	// Rounded up: what was due earlier in this second was due before the change.
	return o.now.Add(time.Second - time.Nanosecond).Truncate(time.Second).UTC().Format(time.RFC3339)
}

func sameSchedule(a, b *batchv1.CronJob) bool {
	return a.Spec.Schedule == b.Spec.Schedule && equality.Semantic.DeepEqual(a.Spec.TimeZone, b.Spec.TimeZone)
}

// sameSuspend reports whether the time at which the schedule was resumed stays: it does
// while the schedule runs.
func sameSuspend(a, b *batchv1.CronJob) bool { return suspended(a) || !suspended(b) }

func suspended(cronJob *batchv1.CronJob) bool {
	return cronJob.Spec.Suspend != nil && *cronJob.Spec.Suspend
}

// upToDate reports whether the CronJob is as wanted. The hash shows changes of what is
// wanted. The generation shows changes by others, also of the template, which the cache does
// not hold, and the comparison those of labels and annotations. Defaults that Kubernetes
// fills in are none of these.
func upToDate(o observed, wanted *batchv1.CronJob) bool {
	live := o.cronJob
	if live == nil || live.Annotations[annotationApplied] != wanted.Annotations[annotationApplied] ||
		live.Generation != o.recurring.Status.CronJobGeneration {
		return false
	}
	schedule := wanted.Spec
	schedule.JobTemplate = batchv1.JobTemplateSpec{}
	return equality.Semantic.DeepDerivative(schedule, live.Spec) &&
		equality.Semantic.DeepDerivative(wanted.Labels, live.Labels) &&
		equality.Semantic.DeepDerivative(wanted.Annotations, live.Annotations)
}

// configOf returns what the operator applies, without the fields that it does not own.
func configOf(cronJob *batchv1.CronJob) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cronJob)
	if err != nil {
		return nil, fmt.Errorf("convert CronJob %q: %w", cronJob.Name, err)
	}
	for _, path := range [][]string{
		{"status"}, {"metadata", "creationTimestamp"},
		{"spec", "jobTemplate", "metadata", "creationTimestamp"},
		{"spec", "jobTemplate", "spec", "template", "metadata", "creationTimestamp"},
	} {
		unstructured.RemoveNestedField(content, path...)
	}
	return &unstructured.Unstructured{Object: content}, nil
}
