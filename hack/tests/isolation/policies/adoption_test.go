package policies

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestOnlyWhoMayAdoptHandsANamespaceOver checks that the label alone, which anybody can set
// who can label namespaces, gives no namespace to a Workspace, and that the namespace says
// who gave it.
func TestOnlyWhoMayAdoptHandsANamespaceOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.grant("labels-namespaces", "mallory", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"}, Verbs: []string{"create", "get", "update", "patch"},
	})
	c.grant("labels-namespaces", "petra", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"create", "get", "update", "patch"},
	})
	c.grant("adopts-acme", "petra", rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.Group}, Resources: []string{"workspaces"}, ResourceNames: []string{"acme"}, Verbs: []string{"adopt"},
	})
	mallory, petra := newClient(t, shared.Env(t).As("mallory")), newClient(t, shared.Env(t).As("petra"))
	testenv.Eventually(t, "petra may create namespaces", func(ctx context.Context) error {
		return petra.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "adopt-any"}}, client.DryRunAll)
	})
	squat := func(workspace, by string) *corev1.Namespace {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "workspace-" + workspace, Labels: map[string]string{v1alpha1.LabelWorkspace: workspace},
			Annotations: map[string]string{v1alpha1.AnnotationAdoptedBy: by},
		}}
		return namespace
	}
	create := func(who client.Client, namespace *corev1.Namespace) error {
		return who.Create(c.Context(), namespace, client.DryRunAll)
	}
	const right, name = "verb adopt on this Workspace", "first annotate it with who does"
	c.refused("mallory's squat", workspaceNamespaces, right, create(mallory, squat("acme", "mallory")))
	c.refused("mallory's squat in another's name", workspaceNamespaces, right, create(mallory, squat("acme", "petra")))
	c.refused("petra's of another Workspace", workspaceNamespaces, right, create(petra, squat("globex", "petra")))
	c.refused("petra's in another's name", workspaceNamespaces, name, create(petra, squat("acme", testenv.AdminUser)))
	c.refused("petra's without a name", workspaceNamespaces, "jobs.openradius.io/adopted-by=petra", create(petra, squat("acme", "")))
	c.accepted("petra's", create(petra, squat("acme", "petra")))

	existing := c.namespace("adopt-existing", nil)
	hand := patchOf(`{"metadata":{"labels":{"jobs.openradius.io/workspace":"acme"},"annotations":{"jobs.openradius.io/adopted-by":"mallory"}}}`)
	named := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	c.refused("a label by mallory", workspaceNamespaces, right, mallory.Patch(c.Context(), named(existing), hand, client.DryRunAll))
	c.refused("a label by mallory aside", workspaceNamespaces, right, mallory.Status().Patch(c.Context(), named(existing), hand, client.DryRunAll))
	adopted := c.namespace("adopt-adopted", map[string]string{v1alpha1.LabelWorkspace: "acme"})
	c.refused("another Workspace's label by mallory", workspaceNamespaces, right, mallory.Patch(c.Context(), named(adopted),
		patchOf(`{"metadata":{"labels":{"jobs.openradius.io/workspace":"globex"}}}`), client.DryRunAll))
	forge := patchOf(`{"metadata":{"annotations":{"jobs.openradius.io/adopted-by":"petra"}}}`)
	c.refused("another name by mallory", workspaceNamespaces, right, mallory.Patch(c.Context(), named(adopted), forge, client.DryRunAll))
	c.refused("no name by mallory", workspaceNamespaces, right, mallory.Patch(c.Context(), named(adopted),
		patchOf(`{"metadata":{"annotations":{"jobs.openradius.io/adopted-by":null}}}`), client.DryRunAll))
	c.refused("another's name by an admin", workspaceNamespaces, name, c.admin.Patch(c.Context(), named(adopted), forge, client.DryRunAll))
	c.refused("another's name by the operator", workspaceNamespaces, right, c.operator.Patch(c.Context(), named(adopted),
		patchOf(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"},"annotations":{"jobs.openradius.io/adopted-by":"petra"}}}`), client.DryRunAll))
	c.accepted("petra takes the adoption on", petra.Patch(c.Context(), named(adopted), forge, client.DryRunAll))
	c.accepted("mallory's own label", mallory.Patch(c.Context(), named(adopted), patchOf(`{"metadata":{"labels":{"mine":"yes"}}}`), client.DryRunAll))
}

// TestAnAdoptedNamespaceSaysWhatItsWorkspaceAllows checks the same annotations as in a
// namespace that was created for its Workspace, under a name of its own.
func TestAnAdoptedNamespaceSaysWhatItsWorkspaceAllows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ws := tenant("adopter").Namespace("tenants-adopter").Obj()
	if err := c.admin.Create(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	c.namespace("tenants-adopter", map[string]string{v1alpha1.LabelWorkspace: "adopter"})
	testenv.Eventually(t, "the operator annotates the namespace", func(ctx context.Context) error {
		namespace := &corev1.Namespace{}
		if err := c.admin.Get(ctx, client.ObjectKey{Name: "tenants-adopter"}, namespace); err != nil {
			return err
		}
		before := namespace.DeepCopy()
		namespace.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
		for key, value := range runnerjob.Permits(ws) {
			namespace.Annotations[key] = value
		}
		return c.operator.Patch(ctx, namespace, client.MergeFrom(before))
	})
	testenv.Eventually(t, "a Job is accepted", func(ctx context.Context) error {
		return c.operator.Create(ctx, jobOf(ws), client.DryRunAll)
	})
	wrong := jobOf(ws, func(j *jobParts) {
		j.setEnv(corev1.EnvVar{Name: "DATABASE_URL", ValueFrom: fromSecret("crm", "token")})
	})
	c.refused("a Job with another Secret", operatorJobs, "only the variables", c.operator.Create(t.Context(), wrong, client.DryRunAll))
}

// grant gives a user a right of the cluster.
func (c *cluster) grant(name, user string, rule rbacv1.PolicyRule) {
	c.Helper()
	name += "-" + user
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	if err := errors.Join(c.admin.Create(c.Context(), role), c.admin.Create(c.Context(), binding)); err != nil {
		c.Fatal(err)
	}
}
