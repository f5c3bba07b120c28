package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestNothingIsTakenOver(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	for _, ch := range children(MakeWorkspace("any").Member(v1alpha1.RoleViewer, "v").Member(v1alpha1.RoleEditor, "e").Member(v1alpha1.RoleAdmin, "a").Obj(), "") {
		t.Run(ch.key(), func(t *testing.T) {
			t.Parallel()
			c := &clusterT{Client: c.Client, env: c.env, t: t}
			name := "taken-" + strings.ToLower(ch.kind) + "-" + strings.TrimPrefix(ch.name, "workspace-jobs-")
			ws := MakeWorkspace(name).Namespace(name).Member(v1alpha1.RoleViewer, "v").Member(v1alpha1.RoleEditor, "e").Member(v1alpha1.RoleAdmin, "a").Obj()
			c.create(MakeNamespace(name).UIDless())
			planted := ch.blank.DeepCopyObject().(client.Object)
			planted.SetName(ch.name)
			planted.SetNamespace(name)
			// Not even with the operator's own labels.
			planted.SetLabels(labelsOf(ws))
			if binding, ok := planted.(*rbacv1.RoleBinding); ok {
				binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ch.name}
			}
			c.create(planted)
			c.label(name, v1alpha1.LabelWorkspace, name)
			c.create(ws)
			ws = c.waitFor(name, v1alpha1.ConditionStalled, "True NameTaken")
			if said := message(ws, v1alpha1.ConditionStalled); !strings.Contains(said, ch.kind) || !strings.Contains(said, ch.name) {
				t.Errorf("it doesn't say what is in the way: %s", said)
			}
			found := planted.DeepCopyObject().(client.Object)
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(planted), found); err != nil {
				t.Fatal(err)
			}
			if found.GetResourceVersion() != planted.GetResourceVersion() && found.GetObjectKind().GroupVersionKind().Kind != "ResourceQuota" {
				if len(found.GetOwnerReferences()) > 0 || len(found.GetManagedFields()) > len(planted.GetManagedFields())+1 {
					t.Errorf("touched: %v", found.GetManagedFields())
				}
			}
			// A change of the spec makes it check again.
			if err := c.Delete(t.Context(), found); err != nil {
				t.Fatal(err)
			}
			c.update(name, func(ws *v1alpha1.Workspace) { ws.Spec.Quota = corev1.ResourceList{"pods": resource.MustParse("9")} })
			c.endMigration(ws, 0, "")
			c.waitFor(name, v1alpha1.ConditionReady, "True Ready")
		})
	}
}

// TestNothingIsWrittenWhenNothingChanges asks for a reconcile again and again: no
// object may get another resourceVersion.
func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("still").Member(v1alpha1.RoleViewer, "vera").Member(v1alpha1.RoleAdmin, "anna").
		Quota(corev1.ResourceList{"requests.cpu": resource.MustParse("1500m"), "requests.memory": resource.MustParse("1024Mi")}).Obj()
	ws.Spec.Database.Egress[0].Ports = []v1alpha1.EgressPort{{}}
	ws.Spec.Network = &v1alpha1.Network{Egress: []v1alpha1.EgressRule{{}}}
	ws = c.ready(ws)
	testenv.Eventually(t, "the jobs are counted", func(context.Context) error {
		if c.workspace("still").Status.Jobs == nil {
			return errors.New("not yet")
		}
		return nil
	})
	versions := func() map[string]string {
		seen := map[string]string{"Workspace": c.workspace("still").ResourceVersion}
		for _, ch := range children(ws, "") {
			if !ch.wanted {
				continue
			}
			object, err := c.live(ws, ch)
			if err != nil {
				t.Fatal(err)
			}
			// What Kubernetes counts in a quota's status is not the operator's.
			seen[ch.key()] = object.GetResourceVersion()
			if _, ok := object.(*corev1.ResourceQuota); ok {
				seen[ch.key()] = fmt.Sprint(len(object.GetManagedFields()))
			}
		}
		ns, err := c.namespace(ws.Status.Namespace)
		if err != nil {
			t.Fatal(err)
		}
		seen["Namespace"] = ns.ResourceVersion
		seen["Job"] = c.migration(ws, 1).ResourceVersion
		return seen
	}
	before := versions()
	for range 5 {
		if _, err := operator.reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "still"}}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, versions()); diff != "" {
		t.Error(diff)
	}
	// And nothing was even asked of the API server.
	o := operator.reconciler.observe(t.Context(), ws)
	if d := decide(o); d.acts() || d.after != 0 || o.failed != nil {
		t.Errorf("still to be done: %v, after %s, %v", d.does(), d.after, o.failed)
	}
}

// TestADeletedWorkspaceIsLeftAlone has a Workspace that somebody's finalizer keeps: what is
// deleted with it must not come back.
func TestADeletedWorkspaceIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("leaving").Obj())
	c.finalize("leaving", "example.com/kept")
	t.Cleanup(func() { c.finalize("leaving") })
	if err := c.Delete(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	cached := operator.reconciler.Client
	testenv.Eventually(t, "the cache shows that it is being deleted", func(ctx context.Context) error {
		err := cached.Get(ctx, client.ObjectKeyFromObject(ws), ws)
		if err == nil && ws.DeletionTimestamp.IsZero() {
			err = errors.New("not yet")
		}
		return err
	})
	limits := &corev1.LimitRange{}
	limits.Name, limits.Namespace = limitRangeName, ws.Status.Namespace
	if err := c.Delete(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	get := func() error { return cached.Get(t.Context(), client.ObjectKeyFromObject(limits), &corev1.LimitRange{}) }
	c.goes("the LimitRange", get)
	if _, err := operator.reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(ws)}); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(limits), limits); !apierrors.IsNotFound(err) {
		t.Errorf("it is back: %v", err)
	}
}

// finalize gives the workspace these finalizers.
func (c *clusterT) finalize(name string, finalizers ...string) {
	c.t.Helper()
	ws := &v1alpha1.Workspace{}
	ws.Name = name
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Patch(context.Background(), ws, client.RawPatch(types.MergePatchType, patch)); err != nil {
		c.t.Fatal(err)
	}
}
