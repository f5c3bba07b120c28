package benchmark

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	acme   = "acme"
	globex = "globex"

	acmeSpace   = "workspace-acme"
	globexSpace = "workspace-globex"

	// deployer is who may make pods and what goes with them in acme's namespace, and
	// in that of the workspace roomy: a cluster admin let them.
	deployer = "deployer"
)

// databases are where the tenants' databases are.
var databases = map[string]string{acme: "192.0.2.10", globex: "192.0.2.11"}

// membersOf are a workspace's, one for each role, and what runs in its pods.
func membersOf(workspace string) []string {
	return []string{workspace + "-viewer", workspace + "-editor", workspace + "-admin", runner(workspace)}
}

func editor(workspace string) string { return workspace + "-editor" }

func admin(workspace string) string { return workspace + "-admin" }

// runner is who a workspace's pods would be, had they a token.
func runner(workspace string) string {
	return "system:serviceaccount:workspace-" + workspace + ":" + v1alpha1.RunnerServiceAccount
}

func makeWorkspace(name string) *v1alpha1.Workspace {
	ws := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{
				SecretRef: v1alpha1.SecretKeyRef{Name: "database"},
				Egress:    []v1alpha1.EgressRule{egressTo(databases[name]+"/32", 5432)},
			},
			Runner:      v1alpha1.Runner{Image: "localhost/" + name + "/runner:none"},
			Concurrency: new(int32(1000)),
		},
	}
	for _, role := range v1alpha1.MemberRoles() {
		user := name + "-" + strings.ToLower(string(role))
		ws.Spec.Members = append(ws.Spec.Members, v1alpha1.Member{Role: role, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}})
	}
	return ws
}

func egressTo(cidr string, port int32) v1alpha1.EgressRule {
	return v1alpha1.EgressRule{
		To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}},
		Ports: []v1alpha1.EgressPort{{Port: new(port)}},
	}
}

// tenant makes a workspace and waits until it is ready and its members have their
// rights.
func (c *clusterT) tenant(ws *v1alpha1.Workspace) {
	c.Helper()
	c.create(ws)
	namespace := ws.NamespaceName()
	c.env.EndPod(c, c.env.PodOf(c, c.migrationOf(namespace)), 0, `{"result":{"schemaVersion":1}}`)
	testenv.Eventually(c, ws.Name+" is ready", func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(ws), ws); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("%v", ws.Status.Conditions)
		}
		return nil
	})
	for _, member := range membersOf(ws.Name)[:3] {
		c.waitAllowed(member, namespace, "list", v1alpha1.Group, "workspacejobs")
	}
}

// tenants makes the workspaces of the benchmark: two tenants, and one that a platform
// admin gave room for what the others may not have.
func (c *clusterT) tenants() {
	c.Helper()
	ws := makeWorkspace(acme)
	ws.Spec.Network = &v1alpha1.Network{Egress: []v1alpha1.EgressRule{egressTo("198.51.100.7/32", 443)}}
	c.tenant(ws)
	ws = makeWorkspace(globex)
	ws.Spec.Runner.ImagePullPolicy = corev1.PullAlways
	c.tenant(ws)
	ws = makeWorkspace(roomy)
	ws.Spec.Database.Egress = []v1alpha1.EgressRule{egressTo("192.0.2.12/32", 5432)}
	ws.Spec.Quota = roomyQuota()
	c.tenant(ws)
	for _, namespace := range []string{acmeSpace, roomySpace} {
		c.grant(deployer, namespace,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/ephemeralcontainers", "services", "persistentvolumeclaims"}, Verbs: []string{"*"}},
			rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs", "cronjobs"}, Verbs: []string{"*"}})
	}
}

// grant plays the cluster admin: the user gets these rights in the namespace.
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

// waitAllowed waits until the API server knows of a right.
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
