package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	// roomy is a workspace whose quota allows what the default one refuses.
	roomy      = "roomy"
	roomySpace = "workspace-roomy"

	quotaName = v1alpha1.ManagedBy
)

func roomyQuota() corev1.ResourceList {
	return quantities("services.nodeports", "2", "services.loadbalancers", "1", "persistentvolumeclaims", "2", "requests.storage", "10Gi")
}

// quantities returns the resources of pairs: a name and an amount in turn.
func quantities(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i+1 < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

// kindResource returns the resource of one of the tenants' kinds.
func (c *clusterT) kindResource(kind string) apiResource {
	c.Helper()
	return c.resource(v1alpha1.Group, strings.ToLower(kind)+"s")
}

func inRoomy(kind string) *unstructured.Unstructured {
	object := plainJob(kind)
	object.SetNamespace(roomySpace)
	return object
}

func set(object *unstructured.Unstructured, value any, at ...string) {
	if err := unstructured.SetNestedField(object.Object, value, at...); err != nil {
		panic(err)
	}
}

// quotaAs reads acme's quota as a user.
func (c *clusterT) quotaAs(user string) *corev1.ResourceQuota {
	c.Helper()
	content, err := c.ask(user, request{verb: "get", resource: c.resource("", "resourcequotas"), namespace: acmeSpace, name: quotaName})
	if err != nil {
		c.Fatalf("%s can't read the quota: %v", user, err)
	}
	quota := &corev1.ResourceQuota{}
	if err := json.Unmarshal(content, quota); err != nil {
		c.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(quota.Spec.Hard, quota.Status.Hard) {
		c.Fatalf("the quota is %v, and %v is enforced", quota.Spec.Hard, quota.Status.Hard)
	}
	return quota
}

// withQuota sets a Workspace's quota, and waits until the API server enforces it.
func (c *clusterT) withQuota(workspace string, list corev1.ResourceList) {
	c.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.Get(c.Context(), client.ObjectKey{Name: workspace}, ws); err != nil {
		c.Fatal(err)
	}
	before := ws.DeepCopy()
	ws.Spec.Quota = list
	if err := c.Patch(c.Context(), ws, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
	testenv.Eventually(c, workspace+" has its quota", func(ctx context.Context) error {
		quota := &corev1.ResourceQuota{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: ws.NamespaceName(), Name: quotaName}, quota); err != nil {
			return err
		}
		for name, want := range list {
			if got, found := quota.Status.Hard[name]; !found || got.Cmp(want) != 0 {
				return fmt.Errorf("%s is %s", name, got.String())
			}
		}
		if !equality.Semantic.DeepEqual(quota.Spec.Hard, quota.Status.Hard) {
			return fmt.Errorf("%v is enforced", quota.Status.Hard)
		}
		return nil
	})
}

func (c *clusterT) jobSays(ctx context.Context, object *unstructured.Unstructured, words string) error {
	job := &v1alpha1.WorkspaceJob{}
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), job); err != nil {
		return err
	}
	if !strings.Contains(job.Status.Message, words) {
		return fmt.Errorf("it is %s: %s", job.Status.State, job.Status.Message)
	}
	return nil
}

func jobOf(pod *corev1.Pod) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: "one-more"},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod.Spec}},
	}
}

func cronJobOf(pod *corev1.Pod) *batchv1.CronJob {
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{Name: "one-more"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: jobOf(pod).Spec}},
	}
}

func serviceOf(kind corev1.ServiceType, namespace string) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: "web-" + strings.ToLower(string(kind)), Namespace: namespace},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}
