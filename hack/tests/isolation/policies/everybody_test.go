package policies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	managedObjects      = "workspace-jobs-managed-objects"
	workspaceNamespaces = "workspace-jobs-workspace-namespaces"
	statuses            = "workspace-jobs-status"
)

func TestNobodyElseWritesWhatTheOperatorKeeps(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("kept", image)
	fences := []client.Object{
		account(home, "runner"), roleBinding(home, "workspace-jobs-viewer", "workspace-jobs-viewer"),
		networkPolicy(home, "workspace-jobs-default-deny", denyAll()), networkPolicy(home, "workspace-jobs-runner", egress()),
		&corev1.ResourceQuota{ObjectMeta: managed(home, "workspace-jobs")}, &corev1.LimitRange{ObjectMeta: managed(home, "workspace-jobs")},
	}
	const words = "change the Workspace kept or its jobs instead"
	for _, fence := range fences {
		planted := copyOf(fence)
		planted.SetLabels(nil)
		c.refused("to plant "+fence.GetName(), managedObjects, words, c.admin.Create(c.Context(), planted, client.DryRunAll))
		if err := c.operator.Create(c.Context(), fence); err != nil {
			t.Fatal(err)
		}
		touch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"mine":"yes"},"labels":{"app.kubernetes.io/managed-by":null}}}`))
		c.refused("to change "+fence.GetName(), managedObjects, words, c.admin.Patch(c.Context(), copyOf(fence), touch, client.DryRunAll))
		c.refused("to delete "+fence.GetName(), managedObjects, words, c.admin.Delete(c.Context(), copyOf(fence), client.DryRunAll))
		kubernetes := c.unrestricted("system:serviceaccount:kube-system:generic-garbage-collector", serviceAccounts("kube-system")...)
		c.accepted("that the garbage collector deletes "+fence.GetName(), kubernetes.Delete(c.Context(), copyOf(fence), client.DryRunAll))
		own := copyOf(fence)
		own.SetName("my-own")
		own.SetLabels(nil)
		own.SetResourceVersion("")
		c.accepted("an own object next to "+fence.GetName(), c.admin.Create(c.Context(), own, client.DryRunAll))
	}
	for what, forge := range map[string]func(metav1.Object){
		"the operator's label": func(o metav1.Object) { o.SetLabels(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}) },
		"an attempt's label":   func(o metav1.Object) { o.SetLabels(map[string]string{v1alpha1.LabelAttempt: "1"}) },
		"an attempt's UID":     func(o metav1.Object) { o.SetAnnotations(map[string]string{v1alpha1.AnnotationJobUID: "any"}) },
		"a WorkspaceJob as its owner": func(o metav1.Object) {
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WorkspaceJob", Name: "any", UID: "any"}})
		},
	} {
		for _, planted := range []client.Object{ownJob(home), ownCronJob(home), ownPod(home)} {
			c.accepted(fmt.Sprintf("a user's own %T", planted), c.admin.Create(c.Context(), copyOf(planted), client.DryRunAll))
			forge(planted)
			c.refused(fmt.Sprintf("a %T with %s", planted, what), managedObjects, words, c.admin.Create(c.Context(), planted, client.DryRunAll))
		}
	}
	elsewhere := c.namespace("kept-elsewhere", nil)
	c.accepted("an account named runner elsewhere", c.admin.Create(c.Context(), account(elsewhere, "runner"), client.DryRunAll))
}

// TestKubernetesKeepsItsCronJobs checks that the policies allow what the CronJob controller
// and the Job controller have to do.
func TestKubernetesKeepsItsCronJobs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("cron", image)
	schedule := cronJob(home, func(j *jobParts) { j.Spec.Suspend = new(true) })
	schedule.Spec.Schedule = "* * * * *"
	if err := c.operator.Create(c.Context(), account(home, "runner")); err != nil {
		t.Fatal(err)
	}
	if err := c.operator.Create(c.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	var jobs batchv1.JobList
	testenv.Eventually(c, "the CronJob's first Job is suspended", func(ctx context.Context) error {
		if err := c.admin.List(ctx, &jobs, client.InNamespace(home)); err != nil {
			return err
		}
		if len(jobs.Items) == 0 || len(jobs.Items[0].Status.Conditions) == 0 {
			return errors.New("there is none, or the Job controller has not seen it")
		}
		return nil
	})
	started := jobs.Items[0].DeepCopy()
	started.Spec.Suspend = new(false)
	if err := c.operator.Patch(c.Context(), started, client.MergeFrom(&jobs.Items[0])); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(c, "the Job has its pod", func(ctx context.Context) error {
		var pods corev1.PodList
		err := c.admin.List(ctx, &pods, client.InNamespace(home))
		if err == nil && len(pods.Items) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

func TestAWorkspacesNamespaceStaysFenced(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	made := c.workspace("fenced", image)
	adopted := c.namespace("fenced-adopted", map[string]string{v1alpha1.LabelWorkspace: "fenced-adopted"})
	patch := func(name, text string, options ...client.PatchOption) error {
		return c.admin.Patch(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, client.RawPatch(types.MergePatchType, []byte(text)), options...)
	}
	c.accepted("a user's own label", patch(made, `{"metadata":{"labels":{"team":"billing"}}}`, client.DryRunAll))
	c.refused("weaker Pod Security", workspaceNamespaces, "delete its Workspace", patch(made, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`, client.DryRunAll))
	c.refused("no Pod Security", workspaceNamespaces, "delete its Workspace", patch(made, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":null}}}`, client.DryRunAll))
	c.refused("another version", workspaceNamespaces, "only the operator may set the version", patch(made, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce-version":"v1.25"}}}`, client.DryRunAll))
	c.refused("to change its label", workspaceNamespaces, "must keep its label", patch(made, `{"metadata":{"labels":{"jobs.openradius.io/workspace":"other"}}}`, client.DryRunAll))
	c.refused("to lose its label", workspaceNamespaces, "must keep its label", patch(made, `{"metadata":{"labels":{"jobs.openradius.io/workspace":null}}}`, client.DryRunAll))
	c.refused("another image", runnerImages, "allows jobs.openradius.io/runner-image", patch(made, `{"metadata":{"annotations":{"jobs.openradius.io/runner-image":"other:1"}}}`, client.DryRunAll))

	c.accepted("an adopted one has no Pod Security yet", patch(adopted, `{"metadata":{"labels":{"team":"billing"}}}`, client.DryRunAll))
	c.accepted("an adopted one gets it", patch(adopted, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	c.refused("an adopted one loses it", workspaceNamespaces, "delete its Workspace", patch(adopted, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":null}}}`, client.DryRunAll))
	c.accepted("an adopted one is reclaimed", patch(adopted, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":null,"jobs.openradius.io/workspace":null}}}`, client.DryRunAll))
	c.accepted("it is deleted", c.admin.Delete(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: made}}, client.DryRunAll))
}

func TestOnlyTheOperatorWritesAStatus(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("status", image)
	objects := map[string]client.Object{
		`{"status":{"namespace":"kube-system"}}`: &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "status"}},
		`{"status":{"state":"Succeeded"}}`: &v1alpha1.WorkspaceJob{
			ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "any"}, Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
		},
		`{"status":{"missedRuns":7}}`: &v1alpha1.WorkspaceRecurringJob{
			ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "any"}, Spec: v1alpha1.WorkspaceRecurringJobSpec{Schedule: "@daily", Template: v1alpha1.JobTemplate{Handler: "sql"}},
		},
	}
	for text, object := range objects {
		if object.GetNamespace() != "" {
			c.make(copyOf(object))
		}
		patch := client.RawPatch(types.MergePatchType, []byte(text))
		c.refused("the admin's "+text, statuses, "change the spec instead", c.admin.Status().Patch(c.Context(), copyOf(object), patch, client.DryRunAll))
		c.accepted("the operator's "+text, c.operator.Status().Patch(c.Context(), copyOf(object), patch, client.DryRunAll))
		touch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"mine":"yes"}}}`))
		c.accepted("an annotation", c.admin.Patch(c.Context(), copyOf(object), touch, client.DryRunAll))
	}
}

// change changes the Workspace's image, as permit does.
func (c *cluster) change(name, image string) {
	c.Helper()
	c.permit(name, func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Image = image })
}

// permit changes the Workspace and, as the operator does, the namespace's annotations.
func (c *cluster) permit(name string, change func(*v1alpha1.Workspace)) {
	c.Helper()
	ws := &v1alpha1.Workspace{}
	if err := c.admin.Get(c.Context(), client.ObjectKey{Name: name}, ws); err != nil {
		c.Fatal(err)
	}
	before := ws.DeepCopy()
	change(ws)
	if err := c.admin.Patch(c.Context(), ws, client.MergeFrom(before)); err != nil {
		c.Fatal(err)
	}
	testenv.Eventually(c, "the namespace allows what the Workspace says", func(ctx context.Context) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ws.NamespaceName()}}
		if err := c.admin.Get(ctx, client.ObjectKeyFromObject(namespace), namespace); err != nil {
			return err
		}
		before := namespace.DeepCopy()
		maps.Copy(namespace.Annotations, runnerjob.Permits(ws))
		return c.operator.Patch(ctx, namespace, client.MergeFrom(before))
	})
	testenv.Eventually(c, "the policies allow what the Workspace says", func(ctx context.Context) error {
		return c.operator.Create(ctx, jobOf(ws, func(j *jobParts) { j.Name = "probe" }), client.DryRunAll)
	})
}

// namespace creates a namespace with these labels only. The admin may hand it over.
func (c *cluster) namespace(name string, labels map[string]string) string {
	c.Helper()
	if err := c.admin.Create(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: labels, Annotations: map[string]string{v1alpha1.AnnotationAdoptedBy: testenv.AdminUser},
	}}); err != nil {
		c.Fatal(err)
	}
	return name
}

func (c *cluster) gone(object client.Object) {
	c.Helper()
	testenv.Eventually(c, object.GetName()+" is being deleted", func(ctx context.Context) error {
		err := c.admin.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) || err == nil && object.GetDeletionTimestamp() != nil {
			return nil
		}
		return errors.Join(errors.New("it is not deleted"), err)
	})
}

func copyOf(object client.Object) client.Object {
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		panic("the copy of an object is not an object")
	}
	return copied
}

// TestThePoliciesAreSound checks that the API server finds no type error in the policies'
// expressions.
func TestThePoliciesAreSound(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	testenv.Eventually(c, "the policies are checked", func(ctx context.Context) error {
		var policies admissionv1.ValidatingAdmissionPolicyList
		if err := c.admin.List(ctx, &policies); err != nil {
			return err
		}
		if len(policies.Items) == 0 {
			return errors.New("there are none")
		}
		for _, policy := range policies.Items {
			if policy.Status.TypeChecking == nil || policy.Status.ObservedGeneration != policy.Generation {
				return fmt.Errorf("%s is not checked yet", policy.Name)
			}
			for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
				c.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
			}
		}
		return nil
	})
}
