// Package cached defines what the manager's cache holds: of the kinds that others create too,
// only the operator's own objects, and of each object, only what a decision needs. So an
// object costs the operator little memory, however large a tenant makes it.
//
// An object from the cache must therefore not be written back whole. A patch is safe: it has
// only what changed since the object was read. What the cache lacks is read from the API
// server when it is needed: the arguments of a job that starts ([Whole]), and a finished
// job that needs anything besides removal.
package cached

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Options returns the options of the manager's cache.
func Options() (cache.Options, error) {
	claimed, err := labels.NewRequirement(v1alpha1.LabelWorkspace, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, fmt.Errorf("select the namespaces of workspaces: %w", err)
	}
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})}
	trimmer := newTrimmer()
	return cache.Options{
		DefaultTransform: trimmer.trim,
		NewInformer:      trimmer.newInformer,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Namespace{}:           {Label: labels.NewSelector().Add(*claimed)},
			&corev1.ServiceAccount{}:      own,
			&corev1.ResourceQuota{}:       own,
			&corev1.LimitRange{}:          own,
			&networkingv1.NetworkPolicy{}: own,
			&rbacv1.RoleBinding{}:         own,
			&batchv1.CronJob{}:            own,
			&batchv1.Job{}:                own,
			&corev1.Pod{}:                 own,
		},
	}, nil
}

// Trim cuts the object down to what the cache holds of it.
func Trim(object client.Object) { newTrimmer().cut(object) }

// trimmer cuts objects down, and shares the memory of texts that many of them have.
type trimmer struct {
	fields pool[*metav1.FieldsV1]
	limits pool[corev1.ResourceList]
}

func newTrimmer() *trimmer {
	return &trimmer{
		fields: pool[*metav1.FieldsV1]{text: (*metav1.FieldsV1).GetRawString},
		limits: pool[corev1.ResourceList]{text: textOf},
	}
}

// trim is a [cache.TransformFunc]: the object has just been decoded and is nobody else's.
func (t *trimmer) trim(object any) (any, error) {
	if typed, ok := object.(client.Object); ok {
		t.cut(typed)
	}
	return object, nil
}

func (t *trimmer) cut(object client.Object) {
	switch typed := object.(type) {
	case *v1alpha1.WorkspaceJob:
		trimMetadata(typed)
		trimJob(typed)
	case *v1alpha1.WorkspaceRecurringJob:
		trimMetadata(typed)
		trimTemplate(&typed.Spec.Template)
	case *v1alpha1.Workspace:
		trimMetadata(typed)
	case *batchv1.Job:
		trimMetadata(typed)
		trimBatchJob(typed)
	case *batchv1.CronJob:
		trimMetadata(typed)
		typed.Spec.JobTemplate = batchv1.JobTemplateSpec{}
	case *corev1.Pod:
		trimMetadata(typed)
		trimPod(typed)
	case *corev1.ResourceQuota:
		t.trimApplied(typed)
		t.trimQuota(typed)
	default:
		t.trimApplied(typed)
	}
}

// trimApplied trims an object that is compared with what the operator applied, by the fields
// that it manages. Its labels are not all of this project.
func (t *trimmer) trimApplied(object client.Object) {
	fields := t.ownFields(object.GetManagedFields())
	all := object.GetLabels()
	trimMetadata(object)
	object.SetLabels(all)
	object.SetManagedFields(fields)
}

// CountedJobs is the quota's limit on WorkspaceJobs.
const CountedJobs corev1.ResourceName = "count/workspacejobs." + v1alpha1.Group

// trimQuota keeps of what is used only that Kubernetes counts the jobs. The limits of most
// workspaces are the same.
func (t *trimmer) trimQuota(quota *corev1.ResourceQuota) {
	quota.Spec.Hard = t.limits.of(quota.Spec.Hard)
	quota.Status.Hard = t.limits.of(quota.Status.Hard)
	used, known := quota.Status.Used[CountedJobs]
	quota.Status.Used = nil
	if known {
		quota.Status.Used = corev1.ResourceList{CountedJobs: used}
	}
}

// trimMetadata keeps the labels and annotations that the operator may read.
func trimMetadata(object metav1.Object) {
	object.SetManagedFields(nil)
	object.SetNamespace(share(object.GetNamespace()))
	object.SetLabels(kept(object.GetLabels()))
	object.SetAnnotations(kept(object.GetAnnotations()))
	owners := object.GetOwnerReferences()
	for i := range owners {
		owners[i].APIVersion, owners[i].Kind = share(owners[i].APIVersion), share(owners[i].Kind)
	}
	object.SetOwnerReferences(owners)
}

// kept returns those of the labels or annotations that this project, or Kubernetes' batch
// controllers, define. The operator decides nothing by who did something.
func kept(all map[string]string) map[string]string {
	var some map[string]string
	for key, value := range all {
		if !strings.HasPrefix(key, v1alpha1.Group+"/") && !strings.HasPrefix(key, "batch.kubernetes.io/") &&
			!strings.HasPrefix(key, "app.kubernetes.io/") {
			continue
		}
		switch key {
		case v1alpha1.AnnotationCreatedBy, v1alpha1.AnnotationRequeuedBy, v1alpha1.AnnotationCancelledBy,
			v1alpha1.AnnotationSuspendedBy, v1alpha1.AnnotationResumedBy:
			continue
		}
		if some == nil {
			some = make(map[string]string, min(len(all), 8))
		}
		some[share(key)] = share(value)
	}
	return some
}
