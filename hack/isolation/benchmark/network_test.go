package benchmark

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func networkRows() []row {
	return []row{{
		id: "open (#1201)", what: "Network across tenants", asks: "no pod reaches another tenant's",
		check: checkNetwork,
	}}
}

// end of a connection: a pod, or an address outside of the cluster.
type end struct {
	name      string
	namespace string
	labels    map[string]string
	address   string
}

// dial is a connection that somebody tries to make.
type dial struct {
	from, to end
	protocol corev1.Protocol
	port     int32
}

func (d dial) String() string {
	return fmt.Sprintf("%s to %s, %s %d", d.from.name, d.to.name, d.protocol, d.port)
}

// world is what decides about connections: this control plane has no network plugin
// that would carry it out, so it is worked out from the objects.
type world struct {
	policies   []networkingv1.NetworkPolicy
	namespaces map[string]map[string]string
}

// allows says what Kubernetes says of network policies: a pod that one selects, for a
// direction, may do what one of those allows; both ends must let the connection be.
// https://kubernetes.io/docs/concepts/services-networking/network-policies/
func (w world) allows(d dial) bool {
	return w.allowsOneWay(d.from, d.to, networkingv1.PolicyTypeEgress, d) && w.allowsOneWay(d.to, d.from, networkingv1.PolicyTypeIngress, d)
}

func (w world) allowsOneWay(self, other end, way networkingv1.PolicyType, d dial) bool {
	isolated := false
	for _, policy := range w.policies {
		if self.namespace == "" || policy.Namespace != self.namespace || !slices.Contains(policy.Spec.PolicyTypes, way) || !selects(&policy.Spec.PodSelector, self.labels) {
			continue
		}
		isolated = true
		for _, rule := range rulesOf(policy, way) {
			if matchesPort(rule.ports, d) && w.matchesPeer(rule.peers, policy.Namespace, other) {
				return true
			}
		}
	}
	return !isolated
}

// rule is one of either way.
type rule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []networkingv1.NetworkPolicyPeer
}

func rulesOf(policy networkingv1.NetworkPolicy, way networkingv1.PolicyType) []rule {
	var rules []rule
	if way == networkingv1.PolicyTypeEgress {
		for _, each := range policy.Spec.Egress {
			rules = append(rules, rule{each.Ports, each.To})
		}
		return rules
	}
	for _, each := range policy.Spec.Ingress {
		rules = append(rules, rule{each.Ports, each.From})
	}
	return rules
}

func matchesPort(ports []networkingv1.NetworkPolicyPort, d dial) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Protocol != nil && *p.Protocol != d.protocol || p.Protocol == nil && d.protocol != corev1.ProtocolTCP {
			return false
		}
		if p.Port == nil {
			return true
		}
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return p.Port.Type == intstr.Int && p.Port.IntVal <= d.port && d.port <= last
	})
}

func (w world) matchesPeer(peers []networkingv1.NetworkPolicyPeer, namespace string, other end) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return inBlock(*p.IPBlock, other.address)
		}
		if other.namespace == "" {
			return false
		}
		if p.NamespaceSelector == nil && other.namespace != namespace || p.NamespaceSelector != nil && !selects(p.NamespaceSelector, w.namespaces[other.namespace]) {
			return false
		}
		return p.PodSelector == nil || selects(p.PodSelector, other.labels)
	})
}

func inBlock(block networkingv1.IPBlock, address string) bool {
	ip := netip.MustParseAddr(address)
	in := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(ip) }
	return in(block.CIDR) && !slices.ContainsFunc(block.Except, in)
}

func selects(selector *metav1.LabelSelector, of map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

// world reads what is in the cluster now.
func (c *clusterT) world() world {
	c.Helper()
	var policies networkingv1.NetworkPolicyList
	var namespaces corev1.NamespaceList
	for _, list := range []client.ObjectList{&policies, &namespaces} {
		if err := c.List(c.Context(), list); err != nil {
			c.Fatal(err)
		}
	}
	w := world{policies: policies.Items, namespaces: map[string]map[string]string{}}
	for _, ns := range namespaces.Items {
		w.namespaces[ns.Name] = ns.Labels
	}
	return w
}

// runnerPod is a pod of the workspace's jobs; its labels are those of one that is there.
func runnerPod(workspace string) end {
	own := maps.Clone(control.Labels)
	own[v1alpha1.LabelWorkspace] = workspace
	return end{name: "a runner of " + workspace, namespace: "workspace-" + workspace, labels: own, address: "10.1.0." + fmt.Sprint(len(workspace))}
}

func otherPod(namespace string, of map[string]string) end {
	return end{name: "another pod in " + namespace, namespace: namespace, labels: of, address: "10.1.1.1"}
}

func outside(name, address string) end { return end{name: name, address: address} }

var (
	dnsPod    = end{name: "DNS", namespace: metav1.NamespaceSystem, labels: map[string]string{"k8s-app": "kube-dns"}, address: "10.1.2.1"}
	internet  = outside("the internet", "203.0.113.9")
	metadata  = outside("the cloud's metadata", "169.254.169.254")
	apiServer = outside("the API server", "10.0.0.1")
	allowed   = outside("what network.egress allows", "198.51.100.7")
)

func database(of string) end { return outside(of+"'s database", databases[of]) }

// dials are connections, and whether they may be made.
func dials() (may, mayNot []dial) {
	const tcp, udp = corev1.ProtocolTCP, corev1.ProtocolUDP
	mine, theirs := runnerPod(acme), runnerPod(globex)
	stray := otherPod(acmeSpace, map[string]string{"app": "web"})
	may = []dial{
		{mine, dnsPod, udp, 53}, {mine, dnsPod, tcp, 53}, {mine, database(acme), tcp, 5432}, {mine, allowed, tcp, 443},
		{theirs, dnsPod, udp, 53}, {theirs, database(globex), tcp, 5432},
	}
	mayNot = []dial{
		{mine, theirs, tcp, 80}, {theirs, mine, tcp, 80}, {mine, theirs, udp, 53}, {mine, mine, tcp, 80},
		{stray, theirs, tcp, 80}, {theirs, stray, tcp, 80}, {stray, mine, tcp, 80}, {mine, stray, tcp, 80},
		{mine, database(globex), tcp, 5432}, {theirs, database(acme), tcp, 5432}, {theirs, allowed, tcp, 443},
		{mine, database(acme), tcp, 22}, {mine, database(acme), udp, 5432}, {mine, allowed, tcp, 80}, {mine, dnsPod, tcp, 443},
		{mine, internet, tcp, 443}, {mine, metadata, tcp, 80}, {mine, apiServer, tcp, 443},
		{mine, otherPod("default", nil), tcp, 80}, {stray, dnsPod, udp, 53}, {stray, database(acme), tcp, 5432},
		{dnsPod, mine, tcp, 80}, {internet, mine, tcp, 80}, {otherPod("default", nil), mine, tcp, 80},
	}
	return may, mayNot
}

func checkNetwork(c *clusterT, s *seen) {
	w := c.world()
	may, mayNot := dials()
	for _, d := range may {
		if !w.allows(d) {
			c.Errorf("the policies forbid: %s", d)
		}
	}
	open := world{namespaces: w.namespaces}
	for _, d := range mayNot {
		if w.allows(d) {
			c.Errorf("the policies allow: %s", d)
		}
		if !open.allows(d) {
			c.Errorf("without policies it is forbidden, so they don't matter: %s", d)
		}
	}
	count := c.wantRBAC(append(membersOf(acme), deployer), writes(c.family("", "pods"), globexSpace, "any"))
	s.say(members, "RBAC refuses all %d requests to make a pod of the other tenant's, to get into one, or to be forwarded to it", count)
	s.say(maker, "the NetworkPolicies forbid %d connections, between tenants both ways, to the other's database, to the internet and to the API server among them, and allow %d: DNS, the own database, what the Workspace names. Worked out from the policies, for this control plane has no network", len(mayNot), len(may))
	c.kindsCannotSay(s, map[string]any{"network": map[string]any{"egress": []any{map[string]any{}}}, "egress": []any{map[string]any{}}, "dnsPolicy": "None", "hostAliases": []any{map[string]any{"ip": "192.0.2.11"}}}, nil)
}

// checkNetworkPolicies shows why members write none.
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
		c.Errorf("who may write network policies can't: %v", err)
	}
	leak := dial{runnerPod(acme), internet, corev1.ProtocolTCP, 443}
	before := c.world()
	after := world{policies: append(slices.Clone(before.policies), wide), namespaces: before.namespaces}
	if before.allows(leak) || !after.allows(leak) {
		c.Errorf("a policy that allows everything does not open %s", leak)
	}
	across := dial{runnerPod(acme), runnerPod(globex), corev1.ProtocolTCP, 80}
	if after.allows(across) {
		c.Errorf("acme's own policy opens %s", across)
	}
	s.say(maker, "whoever may write network policies: nobody refuses one that allows everything: runners would reach the internet, though not another tenant")
	c.kindsCannotSay(s, map[string]any{"networkPolicy": map[string]any{"egress": []any{map[string]any{}}}, "egress": []any{map[string]any{}}}, nil)
}

// TestPoliciesAreWorkedOut holds the test's own judgement against what Kubernetes'
// documentation says.
func TestPoliciesAreWorkedOut(t *testing.T) {
	t.Parallel()
	a := end{"a", "one", map[string]string{"app": "a"}, "10.0.0.1"}
	b := end{"b", "two", map[string]string{"app": "b"}, "10.0.0.2"}
	tcp80 := networkingv1.NetworkPolicyPort{Port: new(intstr.FromInt32(80)), EndPort: new(int32(90))}
	policy := func(namespace string, way networkingv1.PolicyType, peers ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicy {
		p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{way}}}
		if way == networkingv1.PolicyTypeEgress {
			p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: []networkingv1.NetworkPolicyPort{tcp80}}}
			return p
		}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: []networkingv1.NetworkPolicyPort{tcp80}}}
		return p
	}
	apps := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	block := func(except ...string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/24", Except: except}}
	}
	const egress, ingress = networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress
	all := &metav1.LabelSelector{}
	for what, test := range map[string]struct {
		policies []networkingv1.NetworkPolicy
		port     int32
		want     bool
	}{
		"no policy":                        {nil, 80, true},
		"somebody else's":                  {[]networkingv1.NetworkPolicy{policy("three", egress)}, 22, true},
		"anybody":                          {[]networkingv1.NetworkPolicy{policy("one", egress)}, 80, true},
		"the last port":                    {[]networkingv1.NetworkPolicy{policy("one", egress)}, 90, true},
		"another port":                     {[]networkingv1.NetworkPolicy{policy("one", egress)}, 91, false},
		"another port, in":                 {[]networkingv1.NetworkPolicy{policy("two", ingress)}, 79, false},
		"one allows":                       {[]networkingv1.NetworkPolicy{policy("one", egress, block("10.0.0.2/32")), policy("one", egress)}, 80, true},
		"both ends must":                   {[]networkingv1.NetworkPolicy{policy("one", egress), policy("two", ingress, block("10.0.0.1/32"))}, 80, false},
		"pods of the own namespace":        {[]networkingv1.NetworkPolicy{policy("one", egress, networkingv1.NetworkPolicyPeer{PodSelector: all})}, 80, false},
		"pods of any namespace":            {[]networkingv1.NetworkPolicy{policy("one", egress, networkingv1.NetworkPolicyPeer{NamespaceSelector: all, PodSelector: apps("b")})}, 80, true},
		"other pods":                       {[]networkingv1.NetworkPolicy{policy("one", egress, networkingv1.NetworkPolicyPeer{NamespaceSelector: all, PodSelector: apps("c")})}, 80, false},
		"the namespace":                    {[]networkingv1.NetworkPolicy{policy("two", ingress, networkingv1.NetworkPolicyPeer{NamespaceSelector: apps("1")})}, 80, true},
		"another namespace":                {[]networkingv1.NetworkPolicy{policy("two", ingress, networkingv1.NetworkPolicyPeer{NamespaceSelector: apps("2")})}, 80, false},
		"the address":                      {[]networkingv1.NetworkPolicy{policy("one", egress, block())}, 80, true},
		"an address that is left out":      {[]networkingv1.NetworkPolicy{policy("one", egress, block("10.0.0.2/31"))}, 80, false},
		"a policy for the other direction": {[]networkingv1.NetworkPolicy{policy("one", ingress, block("10.0.0.0/24"))}, 80, true},
	} {
		w := world{policies: test.policies, namespaces: map[string]map[string]string{"one": {"app": "1"}, "two": {"app": "2"}}}
		if got := w.allows(dial{a, b, corev1.ProtocolTCP, test.port}); got != test.want {
			t.Errorf("%s: allowed is %v", what, got)
		}
	}
}
