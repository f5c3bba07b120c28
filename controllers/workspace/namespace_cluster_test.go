package workspace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func (c *clusterT) namespace(name string) (*corev1.Namespace, error) {
	ns := &corev1.Namespace{}
	return ns, c.Get(c.t.Context(), client.ObjectKey{Name: name}, ns)
}

func TestNamespaceIsMadeAndGoesWithTheWorkspace(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("made").Obj())
	if ws.Status.Namespace != "workspace-made" {
		t.Errorf("status.namespace %q", ws.Status.Namespace)
	}
	ns, err := c.namespace("workspace-made")
	if err != nil {
		t.Fatal(err)
	}
	if !controls(ws, ns) {
		t.Errorf("owners %v", ns.OwnerReferences)
	}
	for key, want := range map[string]string{
		v1alpha1.LabelManagedBy:                      "workspace-jobs",
		v1alpha1.LabelWorkspace:                      "made",
		"pod-security.kubernetes.io/enforce":         "restricted",
		"pod-security.kubernetes.io/enforce-version": podSecurityVersion,
	} {
		if got := ns.Labels[key]; got != want {
			t.Errorf("label %s is %q, not %q", key, got, want)
		}
	}

	if err := c.Delete(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	c.goes("the namespace", func() error { _, err := c.namespace("workspace-made"); return err })
}

// goes waits until a Get says NotFound.
func (c *clusterT) goes(what string, get func() error) {
	c.t.Helper()
	testenv.Eventually(c.t, what+" is gone", func(context.Context) error {
		switch err := get(); {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		default:
			return errors.New("it is still there")
		}
	})
}

func TestNamespaceIsAdoptedAndStays(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeNamespace("adopted-by-label").For("adopter").Label(v1alpha1.LabelManagedBy, "Helm").UIDless())
	ws := c.ready(MakeWorkspace("adopter").Namespace("adopted-by-label").Member(v1alpha1.RoleViewer, "vera").Obj())
	if ws.Status.AdoptedBy != "ana" {
		t.Errorf("adopted by %q", ws.Status.AdoptedBy)
	}
	ns, err := c.namespace("adopted-by-label")
	if err != nil {
		t.Fatal(err)
	}
	if len(ns.OwnerReferences) > 0 || ns.Labels[v1alpha1.LabelManagedBy] != "Helm" {
		t.Errorf("the operator took it over: owners %v, labels %v", ns.OwnerReferences, ns.Labels)
	}
	if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("pods are not restricted: %v", ns.Labels)
	}

	if err := c.Delete(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	for _, child := range children(ws, "") {
		if !child.wanted {
			continue
		}
		key := client.ObjectKey{Namespace: "adopted-by-label", Name: child.name}
		c.goes(child.key(), func() error { return c.Get(t.Context(), key, child.blank) })
	}
	if ns, err := c.namespace("adopted-by-label"); err != nil || !ns.DeletionTimestamp.IsZero() {
		t.Errorf("the adopted namespace did not stay: %v", err)
	}
}

func TestNamespaceWithoutTheLabelIsRefused(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeNamespace("payments").UIDless())
	c.create(MakeWorkspace("intruder").Namespace("payments").Obj())
	ws := c.waitFor("intruder", v1alpha1.ConditionStalled, "True NamespaceTaken")
	if got := condition(ws, v1alpha1.ConditionReady); got != "False NamespaceTaken" || ws.Status.Namespace != "" {
		t.Errorf("Ready %s, status.namespace %q", got, ws.Status.Namespace)
	}
	if said := message(ws, v1alpha1.ConditionReady); !strings.Contains(said, "kubectl label namespace payments jobs.openradius.io/workspace=intruder") {
		t.Errorf("it doesn't say what to do: %s", said)
	}
	ns, err := c.namespace("payments")
	if err != nil {
		t.Fatal(err)
	}
	if len(ns.OwnerReferences) > 0 || ns.Labels["pod-security.kubernetes.io/enforce"] != "" {
		t.Errorf("touched: %v %v", ns.OwnerReferences, ns.Labels)
	}
	var bindings rbacv1.RoleBindingList
	if err := c.List(t.Context(), &bindings, client.InNamespace("payments")); err != nil || len(bindings.Items) > 0 {
		t.Errorf("%d role bindings, %v", len(bindings.Items), err)
	}

	// The label hands it over, and its removal takes it back.
	c.label("payments", v1alpha1.LabelWorkspace, "intruder")
	c.endMigration(ws, 0, "")
	ws = c.waitFor("intruder", v1alpha1.ConditionReady, "True Ready")
	if condition(ws, v1alpha1.ConditionStalled) != "none" || ws.Status.Namespace != "payments" {
		t.Errorf("Stalled %s, status.namespace %q", condition(ws, v1alpha1.ConditionStalled), ws.Status.Namespace)
	}
	c.label("payments", v1alpha1.LabelWorkspace, "")
	ws = c.waitFor("intruder", v1alpha1.ConditionDatabaseReady, "False NamespaceTaken")
	if ws.Status.Namespace != "" || condition(ws, v1alpha1.ConditionStalled) != "True NamespaceTaken" {
		t.Errorf("Stalled %s, status.namespace %q", condition(ws, v1alpha1.ConditionStalled), ws.Status.Namespace)
	}
}

// label sets a label; "" removes it.
func (c *clusterT) label(namespace, key, value string) {
	c.t.Helper()
	ns, err := c.namespace(namespace)
	if err != nil {
		c.t.Fatal(err)
	}
	before := ns.DeepCopy()
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[key] = value
	if key == v1alpha1.LabelWorkspace {
		metav1.SetMetaDataAnnotation(&ns.ObjectMeta, v1alpha1.AnnotationAdoptedBy, "ana")
	}
	if value == "" {
		delete(ns.Labels, key)
	}
	if err := c.Patch(c.t.Context(), ns, client.MergeFrom(before)); err != nil {
		c.t.Fatal(err)
	}
}

func TestTwoWorkspacesDontShareANamespace(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.ready(MakeWorkspace("first").Namespace("shared-by-two").Obj())
	c.create(MakeWorkspace("second").Namespace("shared-by-two").Obj())
	ws := c.waitFor("second", v1alpha1.ConditionStalled, "True NamespaceTaken")
	if said := message(ws, v1alpha1.ConditionStalled); !strings.Contains(said, `"first"`) {
		t.Errorf("it doesn't say whose it is: %s", said)
	}
}

func TestRecreatedWorkspaceWaitsForTheNamespace(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	old := c.ready(MakeWorkspace("phoenix").Obj())
	before, err := c.namespace("workspace-phoenix")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c.goes("the Workspace", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(old), old.DeepCopy()) })
	ws := c.ready(MakeWorkspace("phoenix").Obj())
	after, err := c.namespace("workspace-phoenix")
	if err != nil {
		t.Fatal(err)
	}
	if after.UID == before.UID || !controls(ws, after) {
		t.Errorf("namespace %s became %s, owners %v; the Workspace is %s", before.UID, after.UID, after.OwnerReferences, ws.UID)
	}
}

func TestNamespaceIsPutBack(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("restored-namespace").Obj())
	for _, key := range []string{v1alpha1.LabelWorkspace, v1alpha1.LabelManagedBy, "pod-security.kubernetes.io/enforce"} {
		c.label("workspace-restored-namespace", key, "")
		c.label("workspace-restored-namespace", "pod-security.kubernetes.io/audit", "privileged")
		testenv.Eventually(t, key+" is back", func(context.Context) error {
			ns, err := c.namespace("workspace-restored-namespace")
			if err == nil && !containsAll(ns.Labels, namespaceLabels(ws, claimMade)) {
				return fmt.Errorf("labels %v", ns.Labels)
			}
			return err
		})
	}

	ns, err := c.namespace("workspace-restored-namespace")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the namespace is created again", func(context.Context) error {
		again, err := c.namespace("workspace-restored-namespace")
		if err == nil && again.UID == ns.UID {
			return errors.New("it is still the old one")
		}
		return err
	})
	c.endMigration(ws, 0, "")
	c.waitFor("restored-namespace", v1alpha1.ConditionReady, "True Ready")
}
