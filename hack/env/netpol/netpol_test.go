package netpol

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestAllows checks the rules in Kubernetes' documentation.
func TestAllows(t *testing.T) {
	t.Parallel()
	a := End{Name: "a", Namespace: "one", Labels: map[string]string{"app": "a"}, Address: "10.0.0.1"}
	b := End{Name: "b", Namespace: "two", Labels: map[string]string{"app": "b"}, Address: "10.0.0.2", Ports: map[string]int32{"web": 80}}
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
	named := func(name string) networkingv1.NetworkPolicy {
		p := policy("two", networkingv1.PolicyTypeIngress)
		p.Spec.Ingress[0].Ports = []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromString(name))}}
		return p
	}
	const egress, ingress = networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress
	all := &metav1.LabelSelector{}
	for what, test := range map[string]struct {
		policies []networkingv1.NetworkPolicy
		port     int32
		want     bool
	}{
		"no policy":                        {nil, 80, true},
		"another namespace's policy":       {[]networkingv1.NetworkPolicy{policy("three", egress)}, 22, true},
		"any peer":                         {[]networkingv1.NetworkPolicy{policy("one", egress)}, 80, true},
		"the last port":                    {[]networkingv1.NetworkPolicy{policy("one", egress)}, 90, true},
		"another port":                     {[]networkingv1.NetworkPolicy{policy("one", egress)}, 91, false},
		"another port, in":                 {[]networkingv1.NetworkPolicy{policy("two", ingress)}, 79, false},
		"a port by its name":               {[]networkingv1.NetworkPolicy{named("web")}, 80, true},
		"another port by its name":         {[]networkingv1.NetworkPolicy{named("web")}, 81, false},
		"a name that no port has":          {[]networkingv1.NetworkPolicy{named("admin")}, 80, false},
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
		w := World{Policies: test.policies, Namespaces: map[string]map[string]string{"one": {"app": "1"}, "two": {"app": "2"}}}
		if got := w.Allows(Dial{a, b, corev1.ProtocolTCP, test.port}); got != test.want {
			t.Errorf("%s: allowed is %v, want %v", what, got, test.want)
		}
	}
}
