package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// live reads a child of ws.
func (c *clusterT) live(ws *v1alpha1.Workspace, ch child) (client.Object, error) {
	err := c.Get(c.t.Context(), client.ObjectKey{Namespace: ws.NamespaceName(), Name: ch.name}, ch.blank)
	return ch.blank, err
}

// waitUpToDate waits until the child exists, belongs to the workspace and is as it should be.
func (c *clusterT) waitUpToDate(ws *v1alpha1.Workspace, ch child, unlike types.UID) {
	c.t.Helper()
	testenv.Eventually(c.t, ch.key()+" is as it should be", func(context.Context) error {
		object, err := c.live(ws, ch)
		if err != nil {
			return err
		}
		upToDate := ch.upToDate(object)
		if !upToDate || !controls(ws, object) || object.GetUID() == unlike {
			return fmt.Errorf("upToDate %v, owners %v, UID %s", upToDate, object.GetOwnerReferences(), object.GetUID())
		}
		return nil
	})
}

func TestDeletedChildrenComeBack(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("restored").Member(v1alpha1.RoleViewer, "vera").Obj())
	list := children(ws, "")
	// The quota last: Kubernetes counts for the new one, and each count triggers a reconcile,
	// which would hide that the next child is not watched.
	slices.SortStableFunc(list, func(a, b child) int { return strings.Compare(last(a), last(b)) })
	for _, ch := range list {
		if !ch.wanted {
			continue
		}
		object, err := c.live(ws, ch)
		if err != nil {
			t.Fatal(err)
		}
		uid := object.GetUID()
		if err := c.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		c.waitUpToDate(ws, ch, uid)
	}
}

// last sorts the quota behind the other children.
func last(c child) string {
	if c.key() == quotaKey {
		return "last"
	}
	return ""
}

func TestEditsOfChildrenAreUndone(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("edited").Member(v1alpha1.RoleEditor, "erik").Obj())
	edit := map[string]func(client.Object){
		"NetworkPolicy/" + denyPolicy: func(o client.Object) {
			o.(*networkingv1.NetworkPolicy).Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		},
		"NetworkPolicy/" + runnerPolicy: func(o client.Object) {
			policy := o.(*networkingv1.NetworkPolicy)
			policy.Spec.Egress = append(policy.Spec.Egress, networkingv1.NetworkPolicyEgressRule{})
		},
		"ResourceQuota/" + quotaName: func(o client.Object) {
			o.(*corev1.ResourceQuota).Spec.Hard[corev1.ResourcePods] = resource.MustParse("9999")
		},
		"LimitRange/" + limitRangeName: func(o client.Object) {
			o.(*corev1.LimitRange).Spec.Limits[0].Default[corev1.ResourceMemory] = resource.MustParse("64Gi")
		},
		"ServiceAccount/" + v1alpha1.RunnerServiceAccount: func(o client.Object) {
			o.(*corev1.ServiceAccount).AutomountServiceAccountToken = new(true)
		},
		"RoleBinding/workspace-jobs-editor": func(o client.Object) {
			binding := o.(*rbacv1.RoleBinding)
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "mallory"})
		},
	}
	for _, ch := range children(ws, "") {
		if !ch.wanted {
			continue
		}
		change, ok := edit[ch.key()]
		if !ok {
			t.Errorf("nothing is tried on %s", ch.key())
			continue
		}
		for name, tamper := range map[string]func(client.Object){
			"content": change,
			"label":   func(o client.Object) { delete(o.GetLabels(), v1alpha1.LabelManagedBy) },
		} {
			object, err := c.live(ws, ch)
			if err != nil {
				t.Fatal(err)
			}
			good, ok := object.DeepCopyObject().(client.Object)
			if !ok {
				t.Fatalf("a copy of %T is not an object", object)
			}
			tamper(object)
			// Kubernetes may be counting in a quota's status at the same time.
			if err := c.Patch(t.Context(), object, client.MergeFrom(good)); err != nil {
				t.Fatalf("%s of %s: %v", name, ch.key(), err)
			}
			if object.GetResourceVersion() == good.GetResourceVersion() {
				t.Fatalf("%s of %s has not changed", name, ch.key())
			}
			c.waitUpToDate(ws, ch, "")
			undone, err := c.live(ws, ch)
			if err != nil {
				t.Fatal(err)
			}
			if !equality.Semantic.DeepEqual(specOf(good), specOf(undone)) {
				t.Errorf("%s of %s: %s", name, ch.key(), cmp.Diff(specOf(good), specOf(undone)))
			}
		}
	}
}

// specOf returns the object without what every write changes.
func specOf(object client.Object) client.Object {
	bare, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return nil
	}
	bare.SetResourceVersion("")
	bare.SetGeneration(0)
	bare.SetManagedFields(nil)
	if quota, ok := bare.(*corev1.ResourceQuota); ok {
		quota.Status = corev1.ResourceQuotaStatus{}
	}
	return bare
}

func TestRoleBindingsFollowMembers(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("members").Member(v1alpha1.RoleViewer, "vera", "vito").Member(v1alpha1.RoleViewer, "vera").Obj())
	names := func(role string) []string {
		binding := &rbacv1.RoleBinding{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: ws.Status.Namespace, Name: role}, binding); err != nil {
			return nil
		}
		var names []string
		for _, s := range binding.Subjects {
			names = append(names, s.Name)
		}
		return names
	}
	become := func(role string, want ...string) {
		t.Helper()
		testenv.Eventually(t, role, func(context.Context) error {
			if diff := cmp.Diff(want, names(role)); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	}
	become("workspace-jobs-viewer", "vera", "vito")
	become("workspace-jobs-admin")
	c.update("members", func(ws *v1alpha1.Workspace) {
		ws.Spec.Members = MakeWorkspace("").Member(v1alpha1.RoleAdmin, "anna").Obj().Spec.Members
	})
	become("workspace-jobs-admin", "anna")
	become("workspace-jobs-viewer")

	// A roleRef can't be changed; a binding that refers elsewhere is created again.
	key := client.ObjectKey{Namespace: ws.Status.Namespace, Name: "workspace-jobs-admin"}
	binding := &rbacv1.RoleBinding{}
	if err := c.Get(t.Context(), key, binding); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	forged := binding.DeepCopy()
	forged.ResourceVersion, forged.UID, forged.RoleRef.Name = "", "", "cluster-admin"
	if err := c.Create(t.Context(), forged); err != nil {
		t.Logf("the operator was faster: %v", err)
	}
	testenv.Eventually(t, "the roleRef is right", func(ctx context.Context) error {
		if err := c.Get(ctx, key, binding); err != nil {
			return err
		}
		if refersElsewhere(binding, v1alpha1.RoleAdmin) {
			return fmt.Errorf("it refers to %s", binding.RoleRef.Name)
		}
		return nil
	})
}

func TestQuotaFollowsTheSpec(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("quota").Quota(corev1.ResourceList{"pods": resource.MustParse("7"), "requests.nvidia.com/gpu": resource.MustParse("2")}).Obj())
	hard := func(want corev1.ResourceList) {
		t.Helper()
		testenv.Eventually(t, "the quota is the spec's", func(ctx context.Context) error {
			quota := &corev1.ResourceQuota{}
			if err := c.Get(ctx, client.ObjectKey{Namespace: ws.Status.Namespace, Name: quotaName}, quota); err != nil {
				return err
			}
			if !equality.Semantic.DeepEqual(quota.Spec.Hard, want) {
				return errors.New(cmp.Diff(want, quota.Spec.Hard))
			}
			return nil
		})
	}
	want := defaultQuota()
	want["pods"], want["requests.nvidia.com/gpu"] = resource.MustParse("7"), resource.MustParse("2")
	hard(want)
	c.update("quota", func(ws *v1alpha1.Workspace) { ws.Spec.Quota = nil })
	hard(defaultQuota())
}

// TestALongRefusalIsClipped has the API server quote a long value that it refuses. The status
// and the event that report it have limits.
func TestALongRefusalIsClipped(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeWorkspace("long").DatabaseEgress("not-a-network-" + strings.Repeat("x", 40_000)).Obj())
	ws := c.waitFor("long", v1alpha1.ConditionStalled, "True InvalidSpec")
	if said := message(ws, v1alpha1.ConditionStalled); len(said) > report.MaxMessage || !strings.HasSuffix(said, "x…") {
		t.Errorf("%d bytes: %s", len(said), said)
	}
	c.hasEvents("long", v1alpha1.ReasonInvalidSpec)
}

func TestWhatKubernetesRefusesIsReported(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeWorkspace("invalid").DatabaseEgress("not-a-network").Obj())
	ws := c.waitFor("invalid", v1alpha1.ConditionStalled, "True InvalidSpec")
	if said := message(ws, v1alpha1.ConditionStalled); !strings.Contains(said, "not-a-network") {
		t.Errorf("it doesn't say what is wrong: %s", said)
	}
	c.update("invalid", func(ws *v1alpha1.Workspace) {
		ws.Spec.Database.Egress = []v1alpha1.EgressRule{egressTo("10.0.0.0/8")}
	})
	c.endMigration(ws, 0, "")
	c.waitFor("invalid", v1alpha1.ConditionReady, "True Ready")
}
