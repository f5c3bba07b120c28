package policies

import (
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

// managed returns the metadata of an object that the operator manages.
func managed(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}}
}

// jobParts are the parts of a Job that a test may change.
type jobParts struct {
	*batchv1.Job
	pod    *corev1.PodSpec
	runner *corev1.Container
}

// tenant builds the Workspaces of these tests.
func tenant(name string) *objects.WorkspaceBuilder {
	return objects.MakeWorkspace(name).Secrets("crm", "erp").With(func(ws *v1alpha1.Workspace) {
		ws.Spec.Runner.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	})
}

// job returns a Job as the operator creates it in the namespace, with changes.
func job(namespace string, changes ...func(*jobParts)) *batchv1.Job {
	return jobOf(tenant(strings.TrimPrefix(namespace, "workspace-")).Namespace(namespace).Obj(), changes...)
}

// jobOf returns a Job as the operator creates it for a WorkspaceJob, with changes. It uses
// every field that the operator may set.
func jobOf(ws *v1alpha1.Workspace, changes ...func(*jobParts)) *batchv1.Job {
	spec := runnerjob.Run(ws, &v1alpha1.JobTemplate{
		Handler: "sql", Args: &apiextensionsv1.JSON{Raw: []byte(`{"text":"$(DATABASE_URL) $$ $5"}`)},
		Timeout: &v1alpha1.Duration{Duration: time.Hour}, ConcurrencyKey: "key",
		Resources: &v1alpha1.Resources{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}},
	})
	spec.Name = "any-1"
	spec.Owner = metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WorkspaceJob", Name: "any", UID: "any"}
	made := runnerjob.Build(ws, spec)
	pod := &made.Spec.Template.Spec
	for _, each := range changes {
		each(&jobParts{Job: made, pod: pod, runner: &pod.Containers[0]})
	}
	return made
}

// stored returns a Job for a test that stores it: the garbage collector would delete one whose
// owner does not exist.
func stored(namespace string, changes ...func(*jobParts)) *batchv1.Job {
	return job(namespace, append(changes, func(j *jobParts) { j.OwnerReferences = nil })...)
}

// ownJob returns a Job that a user creates for themselves.
func ownJob(namespace string) *batchv1.Job {
	own := job(namespace)
	own.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, GenerateName: "own-"}
	// A Job without labels would get its pod's.
	own.Spec.Template.ObjectMeta = metav1.ObjectMeta{}
	return own
}

func ownCronJob(namespace string) *batchv1.CronJob {
	own := cronJob(namespace)
	own.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, GenerateName: "own-"}
	own.Spec.JobTemplate.ObjectMeta, own.Spec.JobTemplate.Spec.Template.ObjectMeta = metav1.ObjectMeta{}, metav1.ObjectMeta{}
	return own
}

func ownPod(namespace string) *corev1.Pod {
	own := pod(namespace, "")
	own.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, GenerateName: "own-"}
	return own
}

func pod(namespace, name string) *corev1.Pod {
	spec := job(namespace).Spec.Template.Spec
	// The ServiceAccount may not exist yet.
	spec.ServiceAccountName = ""
	return &corev1.Pod{ObjectMeta: managed(namespace, name), Spec: spec}
}

func cronJob(namespace string, changes ...func(*jobParts)) *batchv1.CronJob {
	made := job(namespace, changes...)
	return &batchv1.CronJob{
		ObjectMeta: managed(namespace, "any"),
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: made.Labels}, Spec: made.Spec},
		},
	}
}

func account(namespace, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: managed(namespace, name), AutomountServiceAccountToken: new(false)}
}

func roleBinding(namespace, name, role string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: managed(namespace, name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ana"}},
	}
}

func networkPolicy(namespace, name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: managed(namespace, name), Spec: spec}
}

func denyAll() networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}
}

func egress() networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, Egress: []networkingv1.NetworkPolicyEgressRule{{}},
	}
}
