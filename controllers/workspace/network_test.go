package workspace

import (
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fence"
)

// TestEgressLeavesOutLinkLocalAddresses checks that only a rule about link-local addresses
// reaches them, where clouds serve their nodes' credentials.
func TestEgressLeavesOutLinkLocalAddresses(t *testing.T) {
	t.Parallel()
	const v4, v6 = "169.254.0.0/16", "fe80::/10"
	for cidr, want := range map[string][]string{
		"0.0.0.0/0":          {v4},
		"128.0.0.0/1":        {v4},
		"169.0.0.0/8":        {v4},
		"169.254.0.0/16":     nil,
		"169.254.169.254/32": nil,
		"10.0.0.0/8":         nil,
		"::/0":               {v6},
		"fe00::/8":           {v6},
		"fe80::/10":          nil,
		"fe80::1/128":        nil,
		"fd00::/8":           nil,
		"no block":           nil,
	} {
		ws := MakeWorkspace("acme").DatabaseEgress(cidr).Obj()
		rules := typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec.Egress
		block := rules[len(rules)-1].To[0].IPBlock
		if block.CIDR != cidr || !slices.Equal(block.Except, want) {
			t.Errorf("%s: got %+v, want it without %v", cidr, *block, want)
		}
		if ws.Spec.Database.Egress[0].To[0].IPBlock.Except != nil {
			t.Errorf("%s: the Workspace was changed", cidr)
		}
	}
}

func TestEgressKeepsItsOwnExceptions(t *testing.T) {
	t.Parallel()
	for _, own := range [][]string{{"10.0.0.0/8"}, {"169.254.0.0/16"}} {
		ws := MakeWorkspace("acme").DatabaseEgress("0.0.0.0/0").Obj()
		ws.Spec.Database.Egress[0].To[0].IPBlock.Except = own
		rules := typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec.Egress
		got := rules[len(rules)-1].To[0].IPBlock.Except
		if !slices.Contains(got, own[0]) || !slices.Contains(got, "169.254.0.0/16") || len(slices.Compact(got)) != len(got) {
			t.Errorf("%v: got %v", own, got)
		}
	}
}

// TestEgressToEverythingLeavesOutLinkLocalAddresses checks a rule that names no destination.
func TestEgressToEverythingLeavesOutLinkLocalAddresses(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	ws.Spec.Database.Egress = []v1alpha1.EgressRule{{}}
	rules := typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec.Egress
	to := rules[len(rules)-1].To
	if len(to) != 3 || to[0].NamespaceSelector == nil || len(to[1].IPBlock.Except) != 1 || len(to[2].IPBlock.Except) != 1 {
		t.Errorf("got %+v", to)
	}
}

// TestOnlyAWorkspaceThatWaitsReachesTheCanary checks that the canary is allowed by its open
// port alone, and to nobody who does not need it.
func TestOnlyAWorkspaceThatWaitsReachesTheCanary(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	before := len(typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec.Egress)
	ws.Spec.Network = &v1alpha1.Network{WaitForFence: true}
	rules := typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec.Egress
	if len(rules) != before+1 {
		t.Fatalf("%d rules, want one more than %d", len(rules), before)
	}
	rule := rules[before]
	if len(rule.Ports) != 1 || rule.Ports[0].Port.IntVal != fence.OpenPort || len(rule.To) != 1 || rule.To[0].PodSelector == nil ||
		rule.To[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != "operators" {
		t.Errorf("got %+v", rule)
	}
}
