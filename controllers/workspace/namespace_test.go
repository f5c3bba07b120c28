package workspace

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestJudgeNamespace(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Obj()
	foreign := MakeNamespace("ns").For("acme").Obj()
	foreign.OwnerReferences = []metav1.OwnerReference{{APIVersion: "capsule.clastix.io/v1beta2", Kind: "Tenant", Name: "t", UID: "t"}}
	squatted := MakeNamespace("ns").Label(v1alpha1.LabelWorkspace, "acme").Obj()
	for name, test := range map[string]struct {
		ns   *corev1.Namespace
		want claim
		says string
	}{
		"none":                          {nil, claimAbsent, ""},
		"made for it":                   {MakeNamespace("ns").For("acme").OwnedBy("acme", "now").Obj(), claimMade, ""},
		"made for it, label removed":    {MakeNamespace("ns").OwnedBy("acme", "now").Obj(), claimMade, ""},
		"labelled":                      {MakeNamespace("ns").For("acme").Obj(), claimAdopted, ""},
		"labelled and somebody's":       {foreign, claimAdopted, ""},
		"labelled without the right":    {squatted, claimTaken, "kubectl annotate namespace ns jobs.openradius.io/adopted-by="},
		"no label":                      {MakeNamespace("ns").Obj(), claimTaken, "kubectl label namespace ns jobs.openradius.io/workspace=acme"},
		"another's label":               {MakeNamespace("ns").For("globex").Obj(), claimTaken, `labelled for Workspace "globex"`},
		"made for another":              {MakeNamespace("ns").For("globex").OwnedBy("globex", "other").Obj(), claimTaken, `created for Workspace "globex"`},
		"made for another, label of it": {MakeNamespace("ns").For("acme").OwnedBy("globex", "other").Obj(), claimTaken, `created for Workspace "globex"`},
		"made for an earlier one":       {MakeNamespace("ns").For("acme").OwnedBy("acme", "then").Obj(), claimTerminating, `earlier Workspace "acme"`},
		"made for it, terminating":      {MakeNamespace("ns").OwnedBy("acme", "now").Terminating().Obj(), claimTerminating, "is being deleted"},
		"labelled and terminating":      {MakeNamespace("ns").For("acme").Terminating().Obj(), claimTerminating, "is being deleted"},
		"foreign and terminating":       {MakeNamespace("ns").Terminating().Obj(), claimTerminating, "is being deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, says := judgeNamespace(ws, test.ns)
			if got != test.want || !strings.Contains(says, test.says) || (test.says == "" && says != "") {
				t.Errorf("claim %d %q; want %d %q", got, says, test.want, test.says)
			}
		})
	}
}

// TestAnEarlierAdoptionStays checks that a namespace that was adopted before an admission
// policy ensured who did stays adopted.
func TestAnEarlierAdoptionStays(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Namespace("ns").Obj()
	ns := MakeNamespace("ns").Label(v1alpha1.LabelWorkspace, "acme").Obj()
	if got, _ := judgeNamespace(ws, ns); got != claimTaken {
		t.Errorf("claim %d of a new Workspace", got)
	}
	ws.Status.Namespace = "ns"
	if got, says := judgeNamespace(ws, ns); got != claimAdopted || adopter(ws, ns) != "unknown" {
		t.Errorf("claim %d %q, adopted by %q", got, says, adopter(ws, ns))
	}
}

func TestNamespaceDrift(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Obj()
	whole := newNamespace(ws)
	if got := namespaceDrift(ws, whole, claimMade); got != nil {
		t.Errorf("one that is as it should be is applied: %v", got)
	}
	whole.UID = "of the namespace"
	whole.Labels["pod-security.kubernetes.io/enforce"] = "privileged"
	got := namespaceDrift(ws, whole, claimMade)
	if got == nil || !got.exists || got.key() != "Namespace/workspace-acme" {
		t.Fatalf("a loosened one is not taken back: %+v", got)
	}
	if config := typed[corev1.Namespace](t, got.config); config.UID != whole.UID || config.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("applied: %+v", config.ObjectMeta)
	}
	adopted := namespaceLabels(ws, claimAdopted)
	if _, ok := adopted[v1alpha1.LabelManagedBy]; ok {
		t.Error("an adopted namespace's managed-by is its owner's")
	}
	if len(adopted) != 6 {
		t.Errorf("labels of an adopted namespace: %v", adopted)
	}
}
