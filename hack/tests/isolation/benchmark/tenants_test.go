package benchmark

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	acme   = "acme"
	globex = "globex"

	acmeSpace   = "workspace-acme"
	globexSpace = "workspace-globex"

	// deployer is a user to whom a cluster admin has given the right to create pods and
	// related objects in the namespaces of acme and roomy.
	deployer = "deployer"
)

// databases are the addresses of the tenants' databases.
var databases = map[string]string{acme: "192.0.2.10", globex: "192.0.2.11"}

// membersOf returns a workspace's members, one for each role, and the ServiceAccount of its
// pods.
func membersOf(workspace string) []string {
	return []string{workspace + "-viewer", workspace + "-editor", workspace + "-admin", runner(workspace)}
}

func editor(workspace string) string { return workspace + "-editor" }

func admin(workspace string) string { return workspace + "-admin" }

// runner returns the user that a workspace's pods would be if they had a token.
func runner(workspace string) string {
	return "system:serviceaccount:workspace-" + workspace + ":" + v1alpha1.RunnerServiceAccount
}

func makeWorkspace(name string) *v1alpha1.Workspace {
	ws := objects.MakeWorkspace(name).Image("localhost/"+name+"/runner:none").Concurrency(1000).DatabaseEgress(databases[name]+"/32", 5432)
	for _, role := range v1alpha1.MemberRoles() {
		ws.Member(role, name+"-"+strings.ToLower(string(role)))
	}
	return ws.Obj()
}

// tenant creates a workspace and waits until it is ready and its members have their rights.
func (c *clusterT) tenant(ws *v1alpha1.Workspace) {
	c.Helper()
	c.create(ws)
	c.env.EndMigration(c, ws)
	if err := c.env.WaitReady(c.Context(), ws); err != nil {
		c.Fatal(err)
	}
	namespace := ws.NamespaceName()
	for _, member := range membersOf(ws.Name)[:3] {
		c.waitAllowed(member, namespace, "list", v1alpha1.Group, "workspacejobs")
	}
}

// tenants creates the workspaces of the benchmark: two tenants, and one whose quota allows
// what the others may not have.
func (c *clusterT) tenants() {
	c.Helper()
	ws := makeWorkspace(acme)
	ws.Spec.Network = &v1alpha1.Network{Egress: []v1alpha1.EgressRule{objects.EgressTo("198.51.100.7/32", 443)}}
	c.tenant(ws)
	ws = makeWorkspace(globex)
	ws.Spec.Runner.ImagePullPolicy = corev1.PullAlways
	c.tenant(ws)
	ws = makeWorkspace(roomy)
	ws.Spec.Database.Egress = []v1alpha1.EgressRule{objects.EgressTo("192.0.2.12/32", 5432)}
	ws.Spec.Quota = roomyQuota()
	c.tenant(ws)
	for _, namespace := range []string{acmeSpace, roomySpace} {
		c.grant(deployer, namespace,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/ephemeralcontainers", "services", "persistentvolumeclaims"}, Verbs: []string{"*"}},
			rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs", "cronjobs"}, Verbs: []string{"*"}})
	}
}

// grant gives the user rights in the namespace, as a cluster admin would.
func (c *clusterT) grant(user, namespace string, rules ...rbacv1.PolicyRule) {
	c.Helper()
	named := metav1.ObjectMeta{Name: user, Namespace: namespace}
	c.create(&rbacv1.Role{ObjectMeta: named, Rules: rules})
	c.create(&rbacv1.RoleBinding{
		ObjectMeta: named,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	})
	for _, rule := range rules {
		c.waitAllowed(user, namespace, "create", rule.APIGroups[0], rule.Resources[0])
	}
}

// waitAllowed waits until a right is in force.
func (c *clusterT) waitAllowed(user, namespace, verb, group, name string) {
	c.Helper()
	testenv.Eventually(c, user+" may "+verb+" "+name, func(ctx context.Context) error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: name},
		}}
		err := c.Create(ctx, review)
		if err == nil && !review.Status.Allowed {
			return fmt.Errorf("not allowed: %s", review.Status.Reason)
		}
		return err
	})
}
