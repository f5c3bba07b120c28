package benchmark

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podRows returns the checks of a pod's fields.
func podRows() []row {
	field := func(name string, value any) map[string]any { return map[string]any{name: value} }
	secured := func(fields map[string]any) map[string]any { return field("securityContext", fields) }
	return []row{
		{
			id: "MTB-PL1-BC-CPI-3", what: "Added capabilities", asks: "no pod adds Linux capabilities",
			check: podCheck{violations: []violation{
				{what: "capabilities.add: NET_ADMIN", why: `unrestricted capabilities (container "CONTAINER" must not include "NET_ADMIN" in securityContext.capabilities.add)`,
					container: func(c *corev1.Container) {
						c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
					}},
				{what: "no capabilities.drop", why: `unrestricted capabilities (container "CONTAINER" must set securityContext.capabilities.drop=["ALL"])`,
					container: func(c *corev1.Container) { c.SecurityContext.Capabilities = nil }},
			}, containerField: secured(field("capabilities", field("add", []any{"NET_ADMIN"})))}.check,
		},
		{
			id: "MTB-PL1-CC-DI-1", what: "Image pull policy", asks: "every pod has `imagePullPolicy: Always`, so that nobody runs another's private image that a node still has",
			differs: "the policy is the Workspace's, `IfNotPresent` unless a platform admin says otherwise. A member names neither an image nor a policy, so none runs another tenant's image. Anyone else who may make pods can: a cluster that lets tenants do so needs the admission plugin AlwaysPullImages",
			check:   checkPullPolicy,
		},
		{
			id: "MTB-PL1-BC-CPI-4", what: "Non-root", asks: "a pod must set `runAsNonRoot: true`, and no `runAsUser: 0`",
			differs: "not where a pod has `hostUsers: false`: its root is nobody on the node, and Kubernetes' standard `restricted` allows it",
			check:   checkNonRoot,
		},
		{
			id: "MTB-PL1-BC-CPI-5", what: "Privileged containers", asks: "no container is privileged",
			check: checkPrivileged,
		},
		{
			id: "MTB-PL1-BC-CPI-6", what: "Privilege escalation", asks: "no container allows privilege escalation",
			check: podCheck{violations: []violation{
				{what: "allowPrivilegeEscalation: true", why: escalates, container: func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = new(true) }},
				{what: "no allowPrivilegeEscalation", why: escalates, container: func(c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil }},
			}, containerField: secured(field("allowPrivilegeEscalation", true))}.check,
		},
		{
			id: "MTB-PL1-BC-HI-1", what: "Host paths", asks: "no pod mounts a path of its node",
			check: podCheck{violations: []violation{
				{what: "a hostPath volume", why: `restricted volume types (volume "node" uses restricted volume type "hostPath")`,
					pod: func(p *corev1.PodSpec) {
						p.Volumes = []corev1.Volume{{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
					}},
			}, podField: field("volumes", []any{map[string]any{"name": "node", "hostPath": field("path", "/")}}),
				containerField: field("volumeMounts", []any{map[string]any{"name": "node", "mountPath": "/node"}})}.check,
		},
		{
			id: "MTB-PL1-BC-HI-3", what: "Host network and ports", asks: "no pod uses its node's network or a port of it",
			check: podCheck{violations: []violation{
				{what: "hostNetwork: true", why: "host namespaces (hostNetwork=true)", pod: func(p *corev1.PodSpec) { p.HostNetwork = true }},
				{what: "hostPort: 8080", why: `hostPort (container "CONTAINER" uses hostPort 8080)`, notEphemeral: true,
					container: func(c *corev1.Container) {
						c.Ports = []corev1.ContainerPort{{ContainerPort: 8080, HostPort: 8080}}
					}},
			}, podField: field("hostNetwork", true), containerField: field("ports", []any{map[string]any{"containerPort": 8080, "hostPort": 8080}})}.check,
		},
		{
			id: "MTB-PL1-BC-HI-4", what: "Host PID", asks: "no pod sees its node's processes",
			check: podCheck{violations: []violation{
				{what: "hostPID: true", why: "host namespaces (hostPID=true)", pod: func(p *corev1.PodSpec) { p.HostPID = true }},
			}, podField: field("hostPID", true)}.check,
		},
		{
			id: "MTB-PL1-BC-HI-5", what: "Host IPC", asks: "no pod shares its node's memory and semaphores",
			check: podCheck{violations: []violation{
				{what: "hostIPC: true", why: "host namespaces (hostIPC=true)", pod: func(p *corev1.PodSpec) { p.HostIPC = true }},
			}, podField: field("hostIPC", true)}.check,
		},
	}
}

const escalates = `allowPrivilegeEscalation != false (container "CONTAINER" must set securityContext.allowPrivilegeEscalation=false)`

func checkNonRoot(c *clusterT, s *seen) {
	podCheck{violations: []violation{
		{what: "no runAsNonRoot", why: `runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)`,
			pod: func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = nil }},
		{what: "runAsNonRoot: false in a container", why: `runAsNonRoot != true (container "CONTAINER" must not set securityContext.runAsNonRoot=false)`,
			container: func(c *corev1.Container) { c.SecurityContext.RunAsNonRoot = new(false) }},
		{what: "runAsUser: 0", why: `runAsUser=0 (pod must not set runAsUser=0)`,
			pod: func(p *corev1.PodSpec) { p.SecurityContext.RunAsUser = new(int64(0)) }},
		{what: "runAsUser: 0 in a container", why: `runAsUser=0 (container "CONTAINER" must not set runAsUser=0)`,
			container: func(c *corev1.Container) { c.SecurityContext.RunAsUser = new(int64(0)) }},
	}, podField: map[string]any{"hostUsers": false, "securityContext": map[string]any{"runAsUser": 0}},
		containerField: map[string]any{"securityContext": map[string]any{"runAsNonRoot": false}}}.check(c, s)
	pod := compliantPod("own-users", acmeSpace)
	pod.Spec.SecurityContext.RunAsUser, pod.Spec.HostUsers = new(int64(0)), new(false)
	_, err := c.ask(deployer, request{verb: "create", resource: c.resource("", "pods"), namespace: acmeSpace, body: pod})
	if got := refusalOf(err); got.who != byNobody {
		c.Errorf("root in the pod's own user namespace: %s", got)
	}
	s.say(maker, "nobody refuses %s with %s", code("runAsUser: 0"), code("hostUsers: false"))
}

// checkPrivileged breaks two rules at once, since the API does not allow a privileged
// container without privilege escalation.
func checkPrivileged(c *clusterT, s *seen) {
	privileged := violation{
		what: "privileged: true", why: `privileged (container "CONTAINER" must not set securityContext.privileged=true), ` + escalates,
		container: func(c *corev1.Container) {
			c.SecurityContext.Privileged, c.SecurityContext.AllowPrivilegeEscalation = new(true), nil
		},
	}
	podCheck{violations: []violation{privileged}, containerField: map[string]any{"securityContext": map[string]any{"privileged": true}}}.check(c, s)
	pod := compliantPod("contradiction", acmeSpace)
	pod.Spec.Containers[0].SecurityContext.Privileged = new(true)
	_, err := c.ask(deployer, request{verb: "create", resource: c.resource("", "pods"), namespace: acmeSpace, body: pod})
	if got := refusalOf(err); got.who != byValidation || !strings.Contains(got.why, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true") {
		c.Errorf("a privileged container that allows no escalation: %s", got)
	}
}

// checkPullPolicy records that no pull policy is refused, and that members can't set one.
func checkPullPolicy(c *clusterT, s *seen) {
	c.membersMakeNoPods(s)
	var accepted []string
	for _, policy := range []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever} {
		pod := compliantPod("pulls", acmeSpace)
		pod.Spec.Containers[0].ImagePullPolicy = policy
		if _, err := c.ask(deployer, request{verb: "create", resource: c.resource("", "pods"), namespace: acmeSpace, body: pod}); err == nil {
			accepted = append(accepted, string(policy))
		}
	}
	s.say(maker, "nobody refuses %s", code(accepted...))
	c.kindsCannotSay(s, nil, map[string]any{"image": "localhost/globex/runner:none", "imagePullPolicy": "Never"})
	for _, name := range []string{acme, globex} {
		want := makeWorkspace(name).Spec.Runner.Image
		policy := map[string]corev1.PullPolicy{acme: corev1.PullIfNotPresent, globex: corev1.PullAlways}[name]
		got := c.migrationOf("workspace-" + name).Spec.Template.Spec.Containers[0]
		if got.Image != want || got.ImagePullPolicy != policy {
			c.Errorf("%s's pods have the image %q, pulled %s", name, got.Image, got.ImagePullPolicy)
		}
	}
	runner := control.Spec.Containers[0]
	if runner.Image != makeWorkspace(acme).Spec.Runner.Image || runner.ImagePullPolicy != corev1.PullIfNotPresent {
		c.Errorf("acme's jobs have the image %q, pulled %s", runner.Image, runner.ImagePullPolicy)
	}
	s.say(kinds, "the image and the policy are the Workspace's: %s by default, %s where a platform admin asks for it", code(string(corev1.PullIfNotPresent)), code(string(corev1.PullAlways)))
}
