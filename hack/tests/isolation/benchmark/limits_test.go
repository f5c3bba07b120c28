package benchmark

import (
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// limitRows returns the checks of quotas and of what they count.
func limitRows() []row {
	return []row{
		{
			id: "MTB-PL1-CC-FNS-1", what: "Quotas configured", asks: "the namespace has a quota for cpu, memory and ephemeral storage",
			differs: "cpu is counted by requests and has no limit: unused cpu would only be idle",
			check:   checkQuotas,
		},
		{
			id: "MTB-PL1-CC-FNS-2", what: "Object limits configured", asks: "a quota counts " + strings.Join(benchmarkCounts, ", "),
			differs: "what no member can make is not counted",
			check:   checkObjectLimits,
		},
		{
			id: "MTB-PL1-BC-HI-1", what: "NodePort services", asks: "no service of type NodePort",
			check: checkNodePorts,
		},
		{
			id: "MTB-PL1-CC-TI-1", what: "Quota modification", asks: "no tenant changes the quota",
			check: checkQuotaModification,
		},
	}
}

// benchmarkCounts are the resources that the benchmark expects in a quota.
var benchmarkCounts = []string{"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"}

// ourCounts are the resources that the quota counts in addition to those.
var ourCounts = []string{"count/pods", "count/jobs.batch", "count/cronjobs.batch", "count/workspacejobs.jobs.openradius.io", "count/workspacerecurringjobs.jobs.openradius.io"}

// over are containers that exceed the quota, each in one resource only if the API allows
// that.
var over = []struct {
	requests, limits corev1.ResourceList
	why              string
}{
	{quantities("cpu", "5"), nil, "requests.cpu"},
	{nil, quantities("memory", "9Gi", "cpu", "1"), "limits.memory,requests.memory"},
	{quantities("memory", "64Mi"), quantities("memory", "9Gi"), "limits.memory"},
	{quantities("ephemeral-storage", "1Gi"), quantities("ephemeral-storage", "41Gi"), "limits.ephemeral-storage"},
	{quantities("ephemeral-storage", "21Gi"), quantities("ephemeral-storage", "21Gi"), "requests.ephemeral-storage"},
}

func checkQuotas(c *clusterT, s *seen) {
	quota := c.quotaAs(admin(acme))
	var names []string
	for name := range quota.Status.Hard {
		names = append(names, string(name))
	}
	for _, want := range []string{"cpu", "memory", "ephemeral-storage"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, "."+want) }) {
			c.Errorf("the quota counts no %s: %v", want, names)
		}
	}
	counted := slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, "requests.") && !strings.HasPrefix(name, "limits.")
	})
	s.say(members, "an admin sees the quota; it counts %s", code(distinct(counted)...))
	c.membersMakeNoPods(s)
	c.overQuota(s)
	c.defaultsCount(s)
	c.jobOverQuota(s)
}

// overQuota checks that the quota refuses a pod that exceeds it.
func (c *clusterT) overQuota(s *seen) {
	c.Helper()
	try := func(requests, limits corev1.ResourceList) refusal {
		pod := compliantPod("large", acmeSpace)
		pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: requests, Limits: limits}
		_, err := c.ask(deployer, request{verb: "create", resource: c.resource("", "pods"), namespace: acmeSpace, body: pod})
		return refusalOf(err)
	}
	all := quantities("cpu", "100m", "memory", "64Mi", "ephemeral-storage", "64Mi")
	if got := try(all, all); got.who != byNobody {
		c.Fatalf("a small pod was refused by %s", got)
	}
	var reasons []string
	for _, each := range over {
		if got, want := try(each.requests, each.limits), (refusal{byQuota, each.why}); got != want {
			c.Errorf("a pod with requests %v and limits %v: %s, not %s", each.requests, each.limits, got, want)
		}
		reasons = append(reasons, each.why)
	}
	s.say(maker, "the quota refuses a pod over its %s", code(distinct(strings.Split(strings.Join(reasons, ","), ","))...))
}

// defaultsCount checks that a container without resources gets defaults, which count.
func (c *clusterT) defaultsCount(s *seen) {
	c.Helper()
	live := compliantPod("silent", acmeSpace)
	c.create(live)
	got := live.Spec.Containers[0].Resources
	for name, value := range map[string]bool{
		"requests.cpu": !got.Requests.Cpu().IsZero(), "requests.memory": !got.Requests.Memory().IsZero(), "limits.memory": !got.Limits.Memory().IsZero(),
		"requests.ephemeral-storage": !got.Requests.StorageEphemeral().IsZero(), "limits.ephemeral-storage": !got.Limits.StorageEphemeral().IsZero(),
	} {
		if !value {
			c.Errorf("a container without resources got no %s", name)
		}
	}
	s.say(maker, "a container without resources gets those of the LimitRange, so it counts")
}

// jobOverQuota checks that a job that exceeds the quota gets no pod, and reports it.
func (c *clusterT) jobOverQuota(s *seen) {
	c.Helper()
	job := plainJob(jobKind)
	set(job, map[string]any{"requests": map[string]any{"cpu": "5"}}, "spec", "resources")
	c.createAs(editor(acme), job, false)
	defer c.remove(job)
	child := &batchv1.Job{}
	c.waitFor(child, job.GetName()+"-1")
	const why = "exceeded quota: workspace-jobs, requested: requests.cpu=5,"
	testenv.Eventually(c, "the job's pod is refused", func(ctx context.Context) error {
		return c.hasEvent(ctx, child, func(said string) bool { return strings.Contains(said, why) })
	})
	testenv.Eventually(c, "the job reports it", func(ctx context.Context) error { return c.jobSays(ctx, job, why) })
	s.say(kinds, "a job with `resources` over the quota gets no pod, and its status says so")
	for _, name := range []string{"nvidia.com/gpu", "hugepages-2Mi"} {
		job := plainJob(jobKind)
		set(job, map[string]any{"limits": map[string]any{name: "2"}}, "spec", "resources")
		_, err := c.ask(editor(acme), request{verb: "create", resource: c.kindResource(jobKind), namespace: acmeSpace, body: job})
		if got := refusalOf(err); got.who != byValidation || !strings.Contains(got.why, "only cpu, memory and ephemeral-storage can be set") {
			c.Errorf("a job with %s: %s", name, got)
		}
	}
	s.say(kinds, "a job can set no other resource: not %s", code("nvidia.com/gpu", "hugepages-2Mi"))
}

func checkObjectLimits(c *clusterT, s *seen) {
	quota := c.quotaAs(admin(acme))
	var counted, not []string
	for _, name := range slices.Concat(benchmarkCounts, ourCounts) {
		if _, found := quota.Status.Hard[corev1.ResourceName(name)]; found {
			counted = append(counted, name)
			continue
		}
		// Members must not be able to create what is not counted.
		c.wantRBAC(membersOf(acme), []request{{verb: "create", resource: c.resource("", name), namespace: acmeSpace}})
		not = append(not, name)
	}
	for _, name := range slices.Concat(ourCounts, []string{"pods", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"}) {
		if !slices.Contains(counted, name) {
			c.Errorf("the quota does not count %s", name)
		}
	}
	s.say(maker, "the quota counts %s", code(counted...))
	s.say(members, "RBAC refuses to create %s", code(not...))
	c.nothingLeft(s)
}

// nothingLeft checks that a quota with a count of 0 refuses each object, no matter which user creates it.
func (c *clusterT) nothingLeft(s *seen) {
	c.Helper()
	c.withQuota(roomy, quantities("count/pods", "0", "pods", "0", "count/jobs.batch", "0", "count/cronjobs.batch", "0",
		"count/workspacejobs.jobs.openradius.io", "0", "count/workspacerecurringjobs.jobs.openradius.io", "0"))
	var reasons []string
	for _, each := range []struct {
		user string
		r    request
		why  string
	}{
		{deployer, request{resource: c.resource("", "pods"), body: compliantPod("one-more", roomySpace)}, "count/pods,pods"},
		{deployer, request{resource: c.resource("batch", "jobs"), body: jobOf(compliantPod("", ""))}, "count/jobs.batch"},
		{deployer, request{resource: c.resource("batch", "cronjobs"), body: cronJobOf(compliantPod("", ""))}, "count/cronjobs.batch"},
		{editor(roomy), request{resource: c.kindResource(jobKind), body: inRoomy(jobKind)}, "count/workspacejobs.jobs.openradius.io"},
		{editor(roomy), request{resource: c.kindResource(recurringKind), body: inRoomy(recurringKind)}, "count/workspacerecurringjobs.jobs.openradius.io"},
	} {
		each.r.verb, each.r.namespace = "create", roomySpace
		c.waitAnswer(each.user, each.r, refusal{byQuota, each.why})
		reasons = append(reasons, strings.Split(each.why, ",")...)
	}
	s.say(kinds, "at the limit the quota refuses one more: %s", code(distinct(reasons)...))
	c.withQuota(roomy, roomyQuota())
	for _, kind := range []string{jobKind, recurringKind} {
		r := request{verb: "create", resource: c.kindResource(kind), namespace: roomySpace, body: inRoomy(kind)}
		c.waitAnswer(editor(roomy), r, refusal{who: byNobody})
	}
}

// waitAnswer waits until the answer to the request is as wanted, since it takes a moment
// until a change of the quota is in force.
func (c *clusterT) waitAnswer(user string, r request, want refusal) {
	c.Helper()
	testenv.Eventually(c, user+" asks to "+r.String(), func(context.Context) error {
		_, err := c.ask(user, r)
		if got := refusalOf(err); got != want {
			return fmt.Errorf("%s, not %s", got, want)
		}
		return nil
	})
}

func checkNodePorts(c *clusterT, s *seen) {
	count := c.wantRBAC(membersOf(acme), writes(slices.Concat(c.family("", "services"), c.family("networking.k8s.io", "ingresses"), c.family("discovery.k8s.io", "endpointslices"), c.family("", "endpoints")), acmeSpace, "any"))
	s.say(members, "RBAC refuses all %d requests to create or change services, ingresses and endpoints", count)
	live := serviceOf(corev1.ServiceTypeClusterIP, acmeSpace)
	c.create(live)
	services := c.resource("", "services")
	var reasons []string
	for kind, why := range map[corev1.ServiceType]string{
		corev1.ServiceTypeNodePort: "services.nodeports", corev1.ServiceTypeLoadBalancer: "services.loadbalancers,services.nodeports",
	} {
		want := refusal{byQuota, why}
		for what, r := range map[string]request{
			"created": {verb: "create", body: serviceOf(kind, acmeSpace)},
			"changed": {verb: "patch", name: live.Name, body: map[string]any{"spec": map[string]any{"type": kind}}},
		} {
			r.resource, r.namespace = services, acmeSpace
			_, err := c.ask(deployer, r)
			if got := refusalOf(err); got != want {
				c.Errorf("a service was %s as %s: %s, not %s", what, kind, got, want)
			}
			r.namespace = roomySpace
			if r.verb != "create" {
				continue
			}
			r.body = serviceOf(kind, roomySpace)
			if _, err := c.ask(deployer, r); err != nil {
				c.Errorf("with room in the quota a %s was refused: %v", kind, err)
			}
		}
		reasons = append(reasons, strings.Split(why, ",")...)
	}
	s.say(maker, "the quota refuses it by %s, made or changed from a ClusterIP, which is accepted", code(distinct(reasons)...))
	c.kindsCannotSay(s, map[string]any{"service": map[string]any{"type": "NodePort"}, "expose": true}, map[string]any{"ports": []any{map[string]any{"containerPort": 8080}}})
}

func checkQuotaModification(c *clusterT, s *seen) {
	requests := writes(slices.Concat(c.family("", "resourcequotas"), c.family("", "limitranges")), acmeSpace, "workspace-jobs")
	users := append(membersOf(acme), deployer)
	count := c.wantRBAC(users, requests)
	count += c.wantRBAC(users, every(c.family(v1alpha1.Group, "workspaces"), "", acme))
	s.say(members, "RBAC refuses all %d requests to change the quota, the LimitRange, or the Workspace that sets them", count)
	s.say(maker, "the same")
	c.quotaAs(admin(acme))
	if _, err := c.ask(clusterAdmin, request{verb: "patch", resource: c.resource("", "resourcequotas"), namespace: acmeSpace, name: "workspace-jobs", body: map[string]any{"spec": map[string]any{"hard": map[string]any{"pods": "101"}}}}); err != nil {
		c.Errorf("a cluster admin's change of the quota was refused: %v", err)
	}
	c.kindsCannotSay(s, map[string]any{"quota": map[string]any{"pods": "1000"}, "hard": map[string]any{"pods": "1000"}}, nil)
	quota := c.quotaAs(admin(acme))
	if pods := quota.Status.Hard[corev1.ResourcePods]; pods.String() != "100" {
		c.Errorf("the quota was changed to %s pods", pods.String())
	}
}
