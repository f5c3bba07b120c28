// Package netpol computes which connections NetworkPolicies allow, for clusters whose
// network plugin does not enforce them, or that have none.
package netpol

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Read reads the NetworkPolicies and namespaces that are in the cluster now.
func Read(ctx context.Context, reader client.Reader) (World, error) {
	var policies networkingv1.NetworkPolicyList
	var namespaces corev1.NamespaceList
	for _, list := range []client.ObjectList{&policies, &namespaces} {
		if err := reader.List(ctx, list); err != nil {
			return World{}, err
		}
	}
	w := World{Policies: policies.Items, Namespaces: map[string]map[string]string{}}
	for _, ns := range namespaces.Items {
		w.Namespaces[ns.Name] = ns.Labels
	}
	return w, nil
}

// Pod returns a pod of the cluster as the end of a connection.
func Pod(pod *corev1.Pod) End {
	end := End{Name: "pod " + pod.Name, Namespace: pod.Namespace, Labels: pod.Labels, Address: pod.Status.PodIP, Ports: map[string]int32{}}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			end.Ports[port.Name] = port.ContainerPort
		}
	}
	return end
}

// End is one end of a connection: a pod, or an address outside the cluster.
type End struct {
	Name      string
	Namespace string
	Labels    map[string]string
	Address   string
	// Ports are a pod's ports by the names that its containers give them.
	Ports map[string]int32
}

// Dial is an attempt to connect.
type Dial struct {
	From, To End
	Protocol corev1.Protocol
	Port     int32
}

func (d Dial) String() string {
	return fmt.Sprintf("%s to %s, %s %d", d.From.Name, d.To.Name, d.Protocol, d.Port)
}

// World is what decides about connections.
type World struct {
	Policies   []networkingv1.NetworkPolicy
	Namespaces map[string]map[string]string
}

// Allows reports whether the policies allow a connection, by the rules of Kubernetes: once a
// policy selects a pod for a direction, only what one of its policies for that direction
// allows is allowed. A connection needs to be allowed at both ends.
// https://kubernetes.io/docs/concepts/services-networking/network-policies/
func (w World) Allows(d Dial) bool {
	return w.allowsOneWay(d.From, d.To, networkingv1.PolicyTypeEgress, d) && w.allowsOneWay(d.To, d.From, networkingv1.PolicyTypeIngress, d)
}

func (w World) allowsOneWay(self, other End, way networkingv1.PolicyType, d Dial) bool {
	isolated := false
	for _, policy := range w.Policies {
		if self.Namespace == "" || policy.Namespace != self.Namespace || !slices.Contains(policy.Spec.PolicyTypes, way) || !selects(&policy.Spec.PodSelector, self.Labels) {
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

// rule is an ingress or an egress rule.
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

func matchesPort(ports []networkingv1.NetworkPolicyPort, d Dial) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Protocol != nil && *p.Protocol != d.Protocol || p.Protocol == nil && d.Protocol != corev1.ProtocolTCP {
			return false
		}
		if p.Port == nil {
			return true
		}
		if p.Port.Type == intstr.String {
			named, known := d.To.Ports[p.Port.StrVal]
			return known && named == d.Port
		}
		last := p.Port.IntVal
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return p.Port.IntVal <= d.Port && d.Port <= last
	})
}

func (w World) matchesPeer(peers []networkingv1.NetworkPolicyPeer, namespace string, other End) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return inBlock(*p.IPBlock, other.Address)
		}
		if other.Namespace == "" {
			return false
		}
		if p.NamespaceSelector == nil && other.Namespace != namespace || p.NamespaceSelector != nil && !selects(p.NamespaceSelector, w.Namespaces[other.Namespace]) {
			return false
		}
		return p.PodSelector == nil || selects(p.PodSelector, other.Labels)
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
