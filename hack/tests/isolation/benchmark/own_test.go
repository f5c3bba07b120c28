package benchmark

import (
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// ownRows returns the checks of what the benchmark wants tenants to do for themselves.
func ownRows() []row {
	return []row{
		{
			id: "MTB-PL2-BC-OPS-3", what: "Role bindings", asks: "tenants manage roles and role bindings of their namespace",
			differs: "the platform decides who is a member, on the Workspace. A tenant's own bindings could bypass that, and could give rights to the ServiceAccount of its pods",
			check:   checkRoleBindings,
		},
		{
			id: "MTB-PL2-CC-TI-1", what: "Role escalation", asks: "no tenant gains rights that it wasn't given",
			check: checkEscalation,
		},
		{
			id: "MTB-PL2-BC-OPS-4", what: "Network policies", asks: "tenants manage network policies of their namespace",
			differs: "policies add up: one that allows everything would undo the default deny, so the Workspace sets egress",
			check:   checkNetworkPolicies,
		},
	}
}

var roleResources = []string{"roles", "rolebindings"}

func (c *clusterT) roleFamilies() []apiResource {
	c.Helper()
	var all []apiResource
	for _, name := range roleResources {
		all = append(all, c.family(rbacv1.GroupName, name)...)
	}
	return all
}

func checkRoleBindings(c *clusterT, s *seen) {
	users := append(membersOf(acme), deployer)
	count := c.wantRBAC(users, writes(c.roleFamilies(), acmeSpace, "workspace-jobs-viewer"))
	s.say(members, "RBAC refuses all %d requests to change roles and role bindings; an admin sees the bindings", count)
	if _, err := c.ask(admin(acme), request{verb: "list", resource: c.resource(rbacv1.GroupName, "rolebindings"), namespace: acmeSpace}); err != nil {
		c.Errorf("an admin can't see the bindings: %v", err)
	}
	s.say(maker, "the same")
	c.kindsCannotSay(s, map[string]any{
		"members": []any{map[string]any{"role": "Admin", "subjects": []any{map[string]any{"kind": "User", "name": "mallory"}}}}, "serviceAccountName": "default", "role": "Admin",
	}, nil)
}

// checkEscalation asks for rights, and tries to grant more rights than the user has: as a
// user who may write roles, and as the operator, which may bind three roles.
func checkEscalation(c *clusterT, s *seen) {
	users := append(membersOf(acme), deployer)
	for _, user := range users {
		for verb, r := range map[string]schema.GroupResource{
			"escalate": {Group: rbacv1.GroupName, Resource: "roles"}, "bind": {Group: rbacv1.GroupName, Resource: "clusterroles"}, "impersonate": {Resource: "users"},
		} {
			review := authorizationv1.SelfSubjectAccessReview{}
			review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{Namespace: acmeSpace, Verb: verb, Group: r.Group, Resource: r.Resource, Name: "cluster-admin"}
			if err := c.as(user, false).Create(c.Context(), &review); err != nil || review.Status.Allowed {
				c.Errorf("%s may %s %s (%v)", user, verb, r, err)
			}
		}
	}
	s.say(members, "may not %s", code("bind", "escalate", "impersonate"))
	binder := "binder"
	c.grant(binder, acmeSpace, rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: roleResources, Verbs: []string{"get", "list", "create", "update", "patch", "delete"}})
	refused := refusal{byEscalation, "permissions not currently held"}
	accepted := refusal{who: byNobody}
	for _, each := range []struct {
		what, user string
		body       any
		want       refusal
	}{
		{"roles", binder, roleOver(rbacv1.GroupName, "roles"), accepted},
		{"roles", binder, roleOver("", "secrets"), refused},
		{"roles", binder, roleOver(v1alpha1.Group, "workspacejobs"), refused},
		{"rolebindings", binder, bindingTo("cluster-admin"), refused},
		{"rolebindings", binder, bindingTo("workspace-jobs-admin"), refused},
		{"rolebindings", testenv.ManagerUser, bindingTo("workspace-jobs-admin"), accepted},
		{"rolebindings", testenv.ManagerUser, bindingTo("cluster-admin"), refused},
		{"rolebindings", testenv.ManagerUser, bindingTo("admin"), refused},
		{"roles", testenv.ManagerUser, roleOver("", "secrets"), refusal{byRBAC, "create roles in " + rbacv1.GroupName}},
	} {
		_, err := c.ask(each.user, request{verb: "create", resource: c.resource(rbacv1.GroupName, each.what), namespace: acmeSpace, body: each.body})
		if got := refusalOf(err); got != each.want {
			c.Errorf("%s makes %s of %v: %s, not %s", each.user, each.what, each.body, got, each.want)
		}
	}
	s.say(maker, "a user who may write roles: RBAC's escalation check refuses to grant more rights than the user has; granting the user's own rights is accepted")
	s.say(kinds, "the operator binds the three roles of members, and no other: RBAC's escalation check")
	ws := makeWorkspace("escalating")
	ws.Spec.Members[0].Role = "cluster-admin"
	ws.APIVersion, ws.Kind = v1alpha1.GroupVersion.String(), "Workspace"
	_, err := c.ask(clusterAdmin, request{verb: "create", resource: c.resource(v1alpha1.Group, "workspaces"), body: ws})
	if got := refusalOf(err); got.who != byValidation || !strings.Contains(got.why, "spec.members[0].role") {
		c.Errorf("a Workspace with a member of another role: %s", got)
	}
	s.say(kinds, "the Workspace's schema refuses any other role, from every writer")
}

func roleOver(group, name string) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Name: "more"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: []string{name}, Verbs: []string{"get"}}},
	}
}

func bindingTo(clusterRole string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: "more"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "mallory"}},
	}
}
