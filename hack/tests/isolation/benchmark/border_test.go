package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
