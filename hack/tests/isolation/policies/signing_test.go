package policies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// sign installs config/authors for one namespace: other tests are about clusters without it.
func (c *cluster) sign(namespace string) {
	c.Helper()
	content, err := os.ReadFile("../../../../config/authors/policy.yaml")
	if err != nil {
		c.Fatal(err)
	}
	first, second, _ := bytes.Cut(content, []byte("\n---\n"))
	policy, binding := &admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{}
	if err := errors.Join(yaml.UnmarshalStrict(first, policy), yaml.UnmarshalStrict(second, binding)); err != nil {
		c.Fatal(err)
	}
	// A fault in an expression would otherwise be ignored.
	policy.Spec.FailurePolicy = new(admissionv1.Fail)
	binding.Spec.MatchResources = &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
	}
	if err := errors.Join(c.admin.Create(c.Context(), policy), c.admin.Create(c.Context(), binding)); err != nil {
		c.Fatal(err)
	}
	testenv.Eventually(c, "names are written", func(ctx context.Context) error {
		job := objects.MakeWorkspaceJob("in-force").In(namespace).Obj()
		if err := c.admin.Create(ctx, job, client.DryRunAll); err != nil || job.Annotations[v1alpha1.AnnotationCreatedBy] == "" {
			return fmt.Errorf("annotations %v, %w", job.Annotations, err)
		}
		return nil
	})
}

// TestEveryClientIsNamed checks that with config/authors the names of users are there whose
// clients know nothing of them.
func TestEveryClientIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("signed", image)
	c.sign(home)
	ana, bob := c.unrestricted("ana"), c.unrestricted("bob")
	creator := func(object client.Object, want string) {
		t.Helper()
		if got := object.GetAnnotations()[v1alpha1.AnnotationCreatedBy]; got != want {
			t.Errorf("%s was created by %q, want %q", object.GetName(), got, want)
		}
	}
	did := func(object client.Object, a action, want string) {
		t.Helper()
		if got := v1alpha1.Author(object, a.annotation); got != want {
			t.Errorf("%s of %s by %q, want %q: %v", a.annotation, object.GetName(), got, want, object.GetAnnotations())
		}
	}

	job := objects.MakeWorkspaceJob("copied").In(home).Obj()
	job.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "ana", v1alpha1.AnnotationCancelledBy: "ana (generation 2)", "mine": "yes"}
	c.accepted("a copy of ana's job", bob.Create(t.Context(), job))
	creator(job, "bob")
	if _, there := job.Annotations[v1alpha1.AnnotationCancelledBy]; there || job.Annotations["mine"] != "yes" {
		t.Errorf("annotations %v", job.Annotations)
	}
	c.accepted("a cancellation", ana.Patch(t.Context(), job, cancels.as("")))
	did(job, cancels, "ana")
	c.accepted("a requeue", bob.Patch(t.Context(), job, requeues.as("")))
	did(job, requeues, "bob")
	did(job, cancels, "")
	c.accepted("another change", ana.Patch(t.Context(), job, mergePatch(`{"metadata":{"labels":{"mine":"yes"}}}`)))
	did(job, requeues, "bob")
	creator(job, "bob")

	run := objects.MakeWorkspaceJob("tick").In(home).Obj()
	c.accepted("a schedule's run", c.operator.Create(t.Context(), run))
	creator(run, "")

	// Server-side apply, as GitOps tools use it, neither removes the names nor owns them.
	apply := func(who client.Client, suspend bool) client.Object {
		t.Helper()
		applied := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"schedule": "@yearly", "suspend": suspend, "template": map[string]any{"handler": "report"},
		}}}
		applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))
		applied.SetNamespace(home)
		applied.SetName("applied")
		c.accepted("to apply", who.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("gitops")))
		creator(applied, "ana")
		return applied
	}
	did(apply(ana, false), resumes, "")
	did(apply(bob, true), suspends, "bob")
	did(apply(ana, true), suspends, "bob")
	did(apply(ana, false), resumes, "ana")
}
