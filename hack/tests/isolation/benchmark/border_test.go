package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// borderRows returns the checks of objects that don't belong to the tenant.
func borderRows() []row {
	return []row{
		{
			id: "MTB-PL1-CC-CPI-1", what: "Cluster resources", asks: "no tenant sees or changes cluster-scoped resources",
			check: checkClusterResources,
		},
		{
			id: "MTB-PL1-BC-CPI-2", what: "Multi-tenant resources", asks: "no tenant changes the platform's objects in its namespace",
			check: checkPlatformObjects,
		},
		{
			id: "MTB-PL1-CC-TI-2", what: "Other tenants' resources", asks: "no tenant sees or changes objects in another tenant's namespace",
			check: checkOtherTenants,
		},
	}
}

func checkClusterResources(c *clusterT, s *seen) {
	resources := slices.DeleteFunc(slices.Clone(c.api), func(r apiResource) bool { return r.namespaced })
	requests := every(resources, "", acme)
	for i := range requests {
		if requests[i].resource.base() == "namespaces" {
			requests[i].name = acmeSpace
		}
	}
	// Everybody may ask who they are and what they may do.
	about := func(r request) bool {
		return r.verb == "create" && slices.Contains([]string{"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}, r.resource.name)
	}
	own := slices.DeleteFunc(slices.Clone(requests), func(r request) bool { return !about(r) })
	others := slices.DeleteFunc(slices.Clone(requests), about)
	// Kubernetes lets every ServiceAccount read these, since they are public.
	bundles := slices.DeleteFunc(slices.Clone(others), func(r request) bool {
		return r.resource.name != "clustertrustbundles" || !slices.Contains([]string{"get", "list", "watch"}, r.verb)
	})
	private := slices.DeleteFunc(slices.Clone(others), func(r request) bool {
		return slices.ContainsFunc(bundles, func(b request) bool { return b.String() == r.String() })
	})
	count := c.wantRBAC([]string{runner(acme)}, private)
	count += c.wantRBAC(append(membersOf(acme)[:3], deployer), others)
	through, asked := c.refusedByRBAC([]string{runner(acme)}, bundles)
	if len(through) != asked {
		c.Errorf("of %d requests to read trust bundles only %d were allowed: %v", asked, len(through), through)
	}
	s.say(members, "RBAC refuses all %d requests of every verb to the %d cluster-scoped resources and their subresources, including the tenant's own Workspace and namespace", count, len(resources)-len(own))
	s.say(maker, "the same")
	s.say(members, "the ServiceAccount of their pods, whose token no pod has, may read %s as every ServiceAccount may: public certificates", code("clustertrustbundles.certificates.k8s.io"))
	through, asked = c.refusedByRBAC(append(membersOf(acme), deployer), own)
	if len(through) != asked {
		c.Errorf("of %d questions of users about themselves only %d were allowed: %v", asked, len(through), through)
	}
	var questions []string
	for _, r := range own {
		questions = append(questions, r.resource.String())
	}
	s.say(members, "may ask who they are and what they may do: %s", code(distinct(questions)...))
	for _, r := range others {
		if r.verb != "list" || r.resource.isSub() {
			continue
		}
		if _, err := c.ask(clusterAdmin, r); err != nil {
			c.Errorf("even a cluster admin can't %s: %v", r, err)
		}
	}
	c.kindsCannotSay(s, map[string]any{"serviceAccountName": "default", "automountServiceAccountToken": true, "namespace": "kube-system"}, nil)
	if spec := control.Spec; spec.ServiceAccountName != v1alpha1.RunnerServiceAccount || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		c.Errorf("a pod has the ServiceAccount %q and mounts its token", spec.ServiceAccountName)
	}
}

// checkPlatformObjects tries to change everything in the namespace that the operator
// created, except for the Jobs of a tenant's own schedules.
func checkPlatformObjects(c *clusterT, s *seen) {
	var found []string
	count := 0
	users := membersOf(acme)
	for _, r := range c.api {
		if !r.namespaced || r.isSub() || !slices.Contains(r.verbs, "list") || r.Group == v1alpha1.Group {
			continue
		}
		for _, object := range c.managed(r) {
			found = append(found, object.GetKind())
			requests := writes(c.family(r.Group, r.name), acmeSpace, object.GetName())
			count += c.wantRBAC(users, requests)
			if r.name != "pods" && r.name != "jobs" {
				c.wantRBAC([]string{deployer}, requests)
			}
			annotate := request{verb: "patch", resource: r, namespace: acmeSpace, name: object.GetName(), body: map[string]any{"metadata": map[string]any{"annotations": map[string]any{"a": "b"}}}}
			if _, err := c.ask(clusterAdmin, annotate); err != nil {
				c.Errorf("even a cluster admin can't %s: %v", annotate, err)
			}
		}
	}
	for _, want := range []string{"NetworkPolicy", "ResourceQuota", "LimitRange", "ServiceAccount", "RoleBinding", "Job"} {
		if !slices.Contains(found, want) {
			c.Errorf("found no %s of the operator", want)
		}
	}
	count += c.wantRBAC(users, writes(c.family("", "namespaces"), "", acmeSpace))
	s.say(members, "RBAC refuses all %d requests to change the namespace, or in it each %s that the operator made", count, code(distinct(found)...))
	s.say(maker, "the same, except for Jobs and pods")
	c.membersWriteTheirOwn(s)
	c.migrationIsProtected(s)
}

// managed returns the objects in acme's namespace that the operator created for the
// workspace, without those of a tenant's jobs, which come and go.
func (c *clusterT) managed(r apiResource) []unstructured.Unstructured {
	c.Helper()
	content, err := c.ask(clusterAdmin, request{verb: "list", resource: r, namespace: acmeSpace})
	if err != nil {
		c.Fatal(err)
	}
	list := &unstructured.UnstructuredList{}
	if err := json.Unmarshal(content, list); err != nil {
		c.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool {
		_, ofJob := o.GetLabels()[v1alpha1.LabelJob]
		_, ofSchedule := o.GetLabels()[v1alpha1.LabelRecurringJob]
		return ofJob || ofSchedule || o.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy
	})
}

// membersWriteTheirOwn is the positive control: editors may write the tenant's own objects,
// but not their status.
func (c *clusterT) membersWriteTheirOwn(s *seen) {
	c.Helper()
	for _, kind := range []string{jobKind, recurringKind} {
		create := request{verb: "create", resource: c.kindResource(kind), namespace: acmeSpace, body: plainJob(kind)}
		for _, user := range []string{editor(acme), admin(acme)} {
			if _, err := c.ask(user, create); err != nil {
				c.Errorf("%s can't %s: %v", user, create, err)
			}
		}
		c.wantRBAC([]string{acme + "-viewer", runner(acme)}, []request{create})
	}
	subs := slices.DeleteFunc(slices.Clone(c.api), func(r apiResource) bool {
		return r.Group != v1alpha1.Group || !r.namespaced || !r.isSub()
	})
	count := c.wantRBAC(membersOf(acme), every(subs, acmeSpace, "any"))
	s.say(members, "editors and admins write jobs; their status nobody: RBAC refuses %d requests", count)
}

// migrationIsProtected checks that two kinds of jobs can't take over the migration's Job: one
// whose attempt would have its name, and one that pretends to be a run of a schedule.
func (c *clusterT) migrationIsProtected(s *seen) {
	c.Helper()
	before := c.migrationOf(acmeSpace)
	schedule := plainJob(recurringKind)
	c.createAs(editor(acme), schedule, false)
	defer c.remove(schedule)
	plain := plainJob(jobKind)
	plain.SetName(strings.TrimSuffix(before.Name, "-1"))
	pretender := plainJob(jobKind)
	pretender.SetName(before.Name)
	pretender.SetAnnotations(map[string]string{v1alpha1.AnnotationScheduledAt: "2026-01-01T00:00:00Z"})
	pretender.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: schedule.GetAPIVersion(), Kind: recurringKind, Name: schedule.GetName(), UID: schedule.GetUID(), Controller: new(true),
	}})
	for what, job := range map[string]*unstructured.Unstructured{"with the name": plain, "that pretends to be a schedule's": pretender} {
		c.createAs(editor(acme), job, false)
		testenv.Eventually(c, "a job "+what+" reports that the name is in use", func(ctx context.Context) error {
			return c.jobSays(ctx, job, before.Name)
		})
		c.remove(job)
		after := c.migrationOf(acmeSpace)
		if after.UID != before.UID || after.Generation != before.Generation || len(after.OwnerReferences) != 1 || after.DeletionTimestamp != nil {
			c.Errorf("a job %s has changed the migration: %v", what, after.ObjectMeta)
		}
	}
	s.say(kinds, "a job whose attempt has the name of the operator's own Job is refused, and the Job stays as it is")
}

// checkOtherTenants tries every verb on everything in the other tenant's namespace, and in
// all namespaces at once.
func checkOtherTenants(c *clusterT, s *seen) {
	resources := slices.DeleteFunc(slices.Clone(c.api), func(r apiResource) bool { return !r.namespaced })
	count := 0
	for of, other := range map[string]string{acme: globexSpace, globex: acmeSpace} {
		requests := every(resources, other, "any")
		for _, r := range resources {
			for _, verb := range []string{"list", "watch"} {
				if slices.Contains(r.verbs, verb) {
					requests = append(requests, request{verb: verb, resource: r})
				}
			}
		}
		count += c.wantRBAC(membersOf(of), requests)
	}
	count += c.wantRBAC([]string{deployer}, every(resources, globexSpace, "any"))
	s.say(members, "RBAC refuses all %d requests of every verb to the %d namespaced resources and subresources in the other's namespace, and to list or watch them in all namespaces", count, len(resources))
	for _, of := range []string{acme, globex} {
		r := request{verb: "list", resource: c.kindResource(jobKind), namespace: "workspace-" + of}
		for _, user := range membersOf(of)[:3] {
			if _, err := c.ask(user, r); err != nil {
				c.Errorf("%s can't %s: %v", user, r, err)
			}
		}
	}
	s.say(maker, "the same in the other's namespace")
	c.refersToNobodyElse(s)
}

// refersToNobodyElse checks that the jobs that a job refers to are only those of its own
// namespace.
func (c *clusterT) refersToNobodyElse(s *seen) {
	c.Helper()
	theirs := plainJob(recurringKind)
	theirs.SetNamespace(globexSpace)
	theirs.SetName("theirs")
	parent := plainJob(jobKind)
	parent.SetNamespace(globexSpace)
	parent.SetName("theirs")
	for _, object := range []*unstructured.Unstructured{theirs, parent} {
		c.createAs(editor(globex), object, false)
		defer c.remove(object)
	}
	follows := plainJob(jobKind)
	set(follows, []any{map[string]any{"name": "theirs", "when": "Finished"}}, "spec", "after")
	triggers := plainJob(jobKind)
	set(triggers, map[string]any{"recurringJobRef": map[string]any{"name": "theirs"}}, "spec")
	for reason, job := range map[string]*unstructured.Unstructured{v1alpha1.ReasonParentMissing: follows, v1alpha1.ReasonRecurringJobNotFound: triggers} {
		c.createAs(editor(acme), job, false)
		testenv.Eventually(c, "a job that refers to another tenant's reports "+reason, func(ctx context.Context) error {
			live := &v1alpha1.WorkspaceJob{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(job), live); err != nil {
				return err
			}
			for _, condition := range live.Status.Conditions {
				if condition.Type == v1alpha1.ConditionReady && condition.Reason == reason {
					return nil
				}
			}
			return fmt.Errorf("it is %s: %s", live.Status.State, live.Status.Message)
		})
		c.remove(job)
	}
	s.say(kinds, "%s and %s name jobs of the own namespace only: another tenant's is %s, %s; neither has a field for another namespace", code("after"), code("recurringJobRef"), code(v1alpha1.ReasonParentMissing), code(v1alpha1.ReasonRecurringJobNotFound))
	for field, spec := range map[string]any{
		"spec.after[0].namespace":        map[string]any{"handler": "sql", "after": []any{map[string]any{"name": "theirs", "namespace": globexSpace}}},
		"spec.recurringJobRef.namespace": map[string]any{"recurringJobRef": map[string]any{"name": "theirs", "namespace": globexSpace}},
	} {
		job := plainJob(jobKind)
		set(job, spec, "spec")
		_, err := c.ask(editor(acme), request{verb: "create", resource: c.kindResource(jobKind), namespace: acmeSpace, body: job})
		if got, want := refusalOf(err), (refusal{bySchema, field}); got != want {
			c.Errorf("a job with %s: %s, not %s", field, got, want)
		}
	}
	c.kindsCannotSay(s, map[string]any{"workspace": globex, "namespace": globexSpace, "queue": "workspace_globex"}, map[string]any{"envFrom": []any{map[string]any{"secretRef": map[string]any{"name": "database"}}}})
}

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
	s.say(kinds, "the Workspace's schema knows no other role, whoever writes it")
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
