package workspace

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	applynetworkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fence"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

const dnsPort int32 = 53

func networkPolicy(ws *v1alpha1.Workspace, name string) *applynetworkingv1.NetworkPolicyApplyConfiguration {
	return applynetworkingv1.NetworkPolicy(name, ws.NamespaceName()).
		WithLabels(labelsOf(ws)).
		WithOwnerReferences(applyOwnerOf(ws))
}

// defaultDeny denies every pod of the namespace all traffic, in both directions.
func defaultDeny(ws *v1alpha1.Workspace) *applynetworkingv1.NetworkPolicyApplyConfiguration {
	return networkPolicy(ws, denyPolicy).WithSpec(applynetworkingv1.NetworkPolicySpec().
		WithPodSelector(applymetav1.LabelSelector()).
		WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress))
}

// runnerEgress lets runner pods reach DNS, the database, and what else the workspace allows.
// operator is the operator's namespace.
func runnerEgress(ws *v1alpha1.Workspace, operator string) *applynetworkingv1.NetworkPolicyApplyConfiguration {
	rules := append([]v1alpha1.EgressRule{dns()}, ws.Spec.Database.Egress...)
	if ws.Spec.Network != nil {
		rules = append(rules, ws.Spec.Network.Egress...)
	}
	if runnerjob.WaitsForFence(ws) {
		rules = append(rules, canary(operator))
	}
	spec := applynetworkingv1.NetworkPolicySpec().
		WithPodSelector(applymetav1.LabelSelector().WithMatchLabels(labelsOf(ws))).
		WithPolicyTypes(networkingv1.PolicyTypeEgress)
	for i := range rules {
		spec.WithEgress(applyEgress(withoutLinkLocal(rules[i])))
	}
	return networkPolicy(ws, runnerPolicy).WithSpec(spec)
}

func dns() v1alpha1.EgressRule {
	kubeSystem := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: metav1.NamespaceSystem}}
	return v1alpha1.EgressRule{
		Ports: []v1alpha1.EgressPort{{Protocol: corev1.ProtocolUDP, Port: new(dnsPort)}, {Protocol: corev1.ProtocolTCP, Port: new(dnsPort)}},
		To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: kubeSystem}},
	}
}

// canary lets a pod find out whether it is fenced; see the package fence. The canary is in the
// operator's namespace.
func canary(operator string) v1alpha1.EgressRule {
	return v1alpha1.EgressRule{
		Ports: []v1alpha1.EgressPort{{Protocol: corev1.ProtocolTCP, Port: new(fence.OpenPort)}},
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: operator}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: fence.Labels()},
		}},
	}
}

// linkLocal are addresses of the node and its neighbours, where clouds serve each node's
// credentials.
func linkLocal() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}
}

// withoutLinkLocal leaves link-local addresses out of a rule that includes them only because
// its blocks are large. A block of nothing but link-local addresses asks for them.
func withoutLinkLocal(rule v1alpha1.EgressRule) v1alpha1.EgressRule {
	if len(rule.To) == 0 {
		// To everything: to all pods, and to all addresses.
		rule.To = []networkingv1.NetworkPolicyPeer{
			{NamespaceSelector: &metav1.LabelSelector{}},
			{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}}, {IPBlock: &networkingv1.IPBlock{CIDR: "::/0"}},
		}
	}
	rule.To = slices.Clone(rule.To)
	for i, peer := range rule.To {
		if peer.IPBlock == nil {
			continue
		}
		// One that can't be parsed is left to the API server, which refuses it.
		block, err := netip.ParsePrefix(peer.IPBlock.CIDR)
		if err != nil {
			continue
		}
		rule.To[i].IPBlock = peer.IPBlock.DeepCopy()
		for _, local := range linkLocal() {
			larger := block.Bits() < local.Bits() && block.Overlaps(local)
			if larger && !slices.Contains(peer.IPBlock.Except, local.String()) {
				rule.To[i].IPBlock.Except = append(rule.To[i].IPBlock.Except, local.String())
			}
		}
	}
	return rule
}

func applyEgress(rule v1alpha1.EgressRule) *applynetworkingv1.NetworkPolicyEgressRuleApplyConfiguration {
	config := applynetworkingv1.NetworkPolicyEgressRule()
	for _, port := range rule.Ports {
		// The API server would fill the protocol in, and that would look like drift.
		p := applynetworkingv1.NetworkPolicyPort().WithProtocol(cmp.Or(port.Protocol, corev1.ProtocolTCP))
		if port.Port != nil {
			p.WithPort(intstr.FromInt32(*port.Port))
		}
		p.EndPort = port.EndPort
		config.WithPorts(p)
	}
	for _, peer := range rule.To {
		p := applynetworkingv1.NetworkPolicyPeer()
		p.PodSelector, p.NamespaceSelector = applySelector(peer.PodSelector), applySelector(peer.NamespaceSelector)
		if peer.IPBlock != nil {
			p.WithIPBlock(applynetworkingv1.IPBlock().WithCIDR(peer.IPBlock.CIDR).WithExcept(peer.IPBlock.Except...))
		}
		config.WithTo(p)
	}
	return config
}

func applySelector(selector *metav1.LabelSelector) *applymetav1.LabelSelectorApplyConfiguration {
	if selector == nil {
		return nil
	}
	config := applymetav1.LabelSelector().WithMatchLabels(selector.MatchLabels)
	for _, e := range selector.MatchExpressions {
		config.WithMatchExpressions(applymetav1.LabelSelectorRequirement().
			WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
	}
	return config
}
