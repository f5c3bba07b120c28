package e2e

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// flow is a TCP connection that a pod may want.
type flow struct {
	from *corev1.Pod
	// to is a pod, or nil for an address of no pod.
	to      *corev1.Pod
	address string
	port    int32
}

func (f flow) target() string {
	if f.to != nil {
		return f.to.Status.PodIP
	}
	return f.address
}

// policyAllows says what a network plugin that enforces NetworkPolicy makes of a flow,
// by the policies that the API server has now: both ends have to allow it.
// https://kubernetes.io/docs/concepts/services-networking/network-policies/
func policyAllows(t *testing.T, f flow) bool {
	t.Helper()
	w := world{ctx: t.Context(), namespaces: map[string]labels.Set{}}
	w.fetch(t)
	return w.egress(f) && (f.to == nil || w.ingress(f))
}

// world is what NetworkPolicies are judged by.
type world struct {
	ctx        context.Context
	namespaces map[string]labels.Set
	policies   []networkingv1.NetworkPolicy
}

func (w *world) fetch(t *testing.T) {
	t.Helper()
	var namespaces corev1.NamespaceList
	if err := shared.client.List(w.ctx, &namespaces); err != nil {
		t.Fatal(err)
	}
	for i := range namespaces.Items {
		w.namespaces[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	var policies networkingv1.NetworkPolicyList
	if err := shared.client.List(w.ctx, &policies, client.InNamespace("")); err != nil {
		t.Fatal(err)
	}
	w.policies = policies.Items
}

func (w *world) egress(f flow) bool {
	selecting := w.selecting(f.from, networkingv1.PolicyTypeEgress)
	return len(selecting) == 0 || slices.ContainsFunc(selecting, func(p networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return w.anyPeer(rule.To, p.Namespace, f.to, f.target()) && anyPort(rule.Ports, f)
		})
	})
}

func (w *world) ingress(f flow) bool {
	selecting := w.selecting(f.to, networkingv1.PolicyTypeIngress)
	return len(selecting) == 0 || slices.ContainsFunc(selecting, func(p networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return w.anyPeer(rule.From, p.Namespace, f.from, f.from.Status.PodIP) && anyPort(rule.Ports, f)
		})
	})
}

// selecting are the policies that a pod is subject to in one direction. The API server
// fills policyTypes in.
func (w *world) selecting(pod *corev1.Pod, direction networkingv1.PolicyType) []networkingv1.NetworkPolicy {
	var found []networkingv1.NetworkPolicy
	for i := range w.policies {
		p := w.policies[i]
		if p.Namespace == pod.Namespace && slices.Contains(p.Spec.PolicyTypes, direction) && selects(&p.Spec.PodSelector, pod.Labels) {
			found = append(found, p)
		}
	}
	return found
}

// anyPeer: no peer means every peer. pod is nil for an address of no pod.
func (w *world) anyPeer(peers []networkingv1.NetworkPolicyPeer, namespace string, pod *corev1.Pod, address string) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil:
			within := func(cidr string) bool { return netip.MustParsePrefix(cidr).Contains(netip.MustParseAddr(address)) }
			return within(peer.IPBlock.CIDR) && !slices.ContainsFunc(peer.IPBlock.Except, within)
		case pod == nil:
			return false
		case peer.NamespaceSelector == nil && pod.Namespace != namespace:
			return false
		case peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, w.namespaces[pod.Namespace]):
			return false
		default:
			return peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)
		}
	})
}

// anyPort: no port means every port. A port with a name is that of the pod's container.
func anyPort(ports []networkingv1.NetworkPolicyPort, f flow) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		switch {
		case port.Protocol != nil && *port.Protocol != corev1.ProtocolTCP:
			return false
		case port.Port == nil:
			return true
		case port.EndPort != nil:
			return port.Port.IntVal <= f.port && f.port <= *port.EndPort
		case port.Port.Type == intstr.Int:
			return port.Port.IntVal == f.port
		default:
			return f.to != nil && slices.ContainsFunc(f.to.Spec.Containers, func(c corev1.Container) bool {
				return slices.ContainsFunc(c.Ports, func(own corev1.ContainerPort) bool {
					return own.Name == port.Port.StrVal && own.ContainerPort == f.port
				})
			})
		}
	})
}

func selects(selector *metav1.LabelSelector, of labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(of)
}
