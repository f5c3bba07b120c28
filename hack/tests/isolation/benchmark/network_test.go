package benchmark

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/netpol"
)

func networkRows() []row {
	return []row{{
		id: "open (#1201)", what: "Network across tenants", asks: "no pod reaches another tenant's pods",
		check: checkNetwork,
	}}
}

// world returns the cluster's policies and namespaces. This control plane has no network
// plugin to enforce the policies.
func (c *clusterT) world() netpol.World {
	c.Helper()
	w, err := netpol.Read(c.Context(), c)
	if err != nil {
		c.Fatal(err)
	}
	return w
}

// runnerPod returns a pod of the workspace's jobs, with the labels of a real one.
func runnerPod(workspace string) netpol.End {
	own := maps.Clone(control.Labels)
	own[v1alpha1.LabelWorkspace] = workspace
	return netpol.End{Name: "a runner of " + workspace, Namespace: "workspace-" + workspace, Labels: own, Address: "10.1.0." + fmt.Sprint(len(workspace))}
}

func otherPod(namespace string, of map[string]string) netpol.End {
	return netpol.End{Name: "another pod in " + namespace, Namespace: namespace, Labels: of, Address: "10.1.1.1"}
}

func outside(name, address string) netpol.End { return netpol.End{Name: name, Address: address} }

var (
	dnsPod    = netpol.End{Name: "DNS", Namespace: metav1.NamespaceSystem, Labels: map[string]string{"k8s-app": "kube-dns"}, Address: "10.1.2.1"}
	internet  = outside("the internet", "203.0.113.9")
	metadata  = outside("the cloud's metadata", "169.254.169.254")
	apiServer = outside("the API server", "10.0.0.1")
	allowed   = outside("what network.egress allows", "198.51.100.7")
)

func database(of string) netpol.End { return outside(of+"'s database", databases[of]) }

func dial(from, to netpol.End, protocol corev1.Protocol, port int32) netpol.Dial {
	return netpol.Dial{From: from, To: to, Protocol: protocol, Port: port}
}

// dials returns connections that the policies should allow, and those they should forbid.
func dials() (may, mayNot []netpol.Dial) {
	const tcp, udp = corev1.ProtocolTCP, corev1.ProtocolUDP
	mine, theirs := runnerPod(acme), runnerPod(globex)
	stray := otherPod(acmeSpace, map[string]string{"app": "web"})
	may = []netpol.Dial{
		dial(mine, dnsPod, udp, 53), dial(mine, dnsPod, tcp, 53), dial(mine, database(acme), tcp, 5432), dial(mine, allowed, tcp, 443),
		dial(theirs, dnsPod, udp, 53), dial(theirs, database(globex), tcp, 5432),
	}
	mayNot = []netpol.Dial{
		dial(mine, theirs, tcp, 80), dial(theirs, mine, tcp, 80), dial(mine, theirs, udp, 53), dial(mine, mine, tcp, 80),
		dial(stray, theirs, tcp, 80), dial(theirs, stray, tcp, 80), dial(stray, mine, tcp, 80), dial(mine, stray, tcp, 80),
		dial(mine, database(globex), tcp, 5432), dial(theirs, database(acme), tcp, 5432), dial(theirs, allowed, tcp, 443),
		dial(mine, database(acme), tcp, 22), dial(mine, database(acme), udp, 5432), dial(mine, allowed, tcp, 80), dial(mine, dnsPod, tcp, 443),
		dial(mine, internet, tcp, 443), dial(mine, metadata, tcp, 80), dial(mine, apiServer, tcp, 443),
		dial(mine, otherPod("default", nil), tcp, 80), dial(stray, dnsPod, udp, 53), dial(stray, database(acme), tcp, 5432),
		dial(dnsPod, mine, tcp, 80), dial(internet, mine, tcp, 80), dial(otherPod("default", nil), mine, tcp, 80),
	}
	return may, mayNot
}

func checkNetwork(c *clusterT, s *seen) {
	w := c.world()
	may, mayNot := dials()
	for _, d := range may {
		if !w.Allows(d) {
			c.Errorf("the policies forbid: %s", d)
		}
	}
	open := netpol.World{Namespaces: w.Namespaces}
	for _, d := range mayNot {
		if w.Allows(d) {
			c.Errorf("the policies allow: %s", d)
		}
		if !open.Allows(d) {
			c.Errorf("forbidden even without policies, which proves nothing: %s", d)
		}
	}
	count := c.wantRBAC(append(membersOf(acme), deployer), writes(c.family("", "pods"), globexSpace, "any"))
	s.say(members, "RBAC refuses all %d requests to create a pod of the other tenant, to enter one, or to forward a port to it", count)
	s.say(maker, "the NetworkPolicies forbid %d connections, between tenants both ways, to the other's database, to the internet and to the API server among them, and allow %d: DNS, the tenant's own database, and what the Workspace names. Computed from the policies, because this control plane has no network", len(mayNot), len(may))
	c.kindsCannotSay(s, map[string]any{"network": map[string]any{"egress": []any{map[string]any{}}}, "egress": []any{map[string]any{}}, "dnsPolicy": "None", "hostAliases": []any{map[string]any{"ip": "192.0.2.11"}}}, nil)
}

// checkNetworkPolicies shows why members may not write network policies.
func checkNetworkPolicies(c *clusterT, s *seen) {
	policies := c.resource("networking.k8s.io", "networkpolicies")
	count := c.wantRBAC(append(membersOf(acme), deployer), writes(c.family("networking.k8s.io", "networkpolicies"), acmeSpace, "workspace-jobs-default-deny"))
	s.say(members, "RBAC refuses all %d requests to change network policies; an admin sees them", count)
	if _, err := c.ask(admin(acme), request{verb: "list", resource: policies, namespace: acmeSpace}); err != nil {
		c.Errorf("an admin can't see the policies: %v", err)
	}
	s.say(maker, "the same")
	netter := "netter"
	c.grant(netter, acmeSpace, rbacv1.PolicyRule{APIGroups: []string{networkingv1.GroupName}, Resources: []string{"networkpolicies"}, Verbs: []string{"*"}})
	wide := networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: "wide", Namespace: acmeSpace},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{}}, Ingress: []networkingv1.NetworkPolicyIngressRule{{}},
		},
	}
	if _, err := c.ask(netter, request{verb: "create", resource: policies, namespace: acmeSpace, body: wide}); err != nil {
		c.Errorf("a user who may write network policies can't: %v", err)
	}
	leak := dial(runnerPod(acme), internet, corev1.ProtocolTCP, 443)
	before := c.world()
	after := netpol.World{Policies: append(slices.Clone(before.Policies), wide), Namespaces: before.Namespaces}
	if before.Allows(leak) || !after.Allows(leak) {
		c.Errorf("a policy that allows everything does not open %s", leak)
	}
	across := dial(runnerPod(acme), runnerPod(globex), corev1.ProtocolTCP, 80)
	if after.Allows(across) {
		c.Errorf("acme's own policy opens %s", across)
	}
	s.say(maker, "a user who may write network policies: one that allows everything is accepted: runners would reach the internet, though not another tenant")
	c.kindsCannotSay(s, map[string]any{"networkPolicy": map[string]any{"egress": []any{map[string]any{}}}, "egress": []any{map[string]any{}}}, nil)
}
