package workspace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestJudgeNamespace(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Obj()
	foreign := MakeNamespace("ns").For("acme").Obj()
	foreign.OwnerReferences = []metav1.OwnerReference{{APIVersion: "capsule.clastix.io/v1beta2", Kind: "Tenant", Name: "t", UID: "t"}}
	for name, test := range map[string]struct {
		ns   *corev1.Namespace
		want claim
		says string
	}{
		"none":                          {nil, claimAbsent, ""},
		"made by us":                    {MakeNamespace("ns").For("acme").OwnedBy("acme", "now").Obj(), claimMade, ""},
		"made by us, label removed":     {MakeNamespace("ns").OwnedBy("acme", "now").Obj(), claimMade, ""},
		"labelled":                      {MakeNamespace("ns").For("acme").Obj(), claimAdopted, ""},
		"labelled and somebody's":       {foreign, claimAdopted, ""},
		"no label":                      {MakeNamespace("ns").Obj(), claimTaken, "kubectl label namespace ns jobs.openradius.io/workspace=acme"},
		"another's label":               {MakeNamespace("ns").For("globex").Obj(), claimTaken, `labelled for Workspace "globex"`},
		"made for another":              {MakeNamespace("ns").For("globex").OwnedBy("globex", "other").Obj(), claimTaken, `made for Workspace "globex"`},
		"made for another, labelled us": {MakeNamespace("ns").For("acme").OwnedBy("globex", "other").Obj(), claimTaken, `made for Workspace "globex"`},
		"made for an earlier one":       {MakeNamespace("ns").For("acme").OwnedBy("acme", "then").Obj(), claimTerminating, `earlier Workspace "acme"`},
		"ours and terminating":          {MakeNamespace("ns").OwnedBy("acme", "now").Terminating().Obj(), claimTerminating, "is being deleted"},
		"labelled and terminating":      {MakeNamespace("ns").For("acme").Terminating().Obj(), claimTerminating, "is being deleted"},
		"a stranger and terminating":    {MakeNamespace("ns").Terminating().Obj(), claimTerminating, "is being deleted"},
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

func TestMendNamespace(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Obj()
	whole := newNamespace(ws)
	if got := mendNamespace(ws, whole, claimMade); got != nil {
		t.Errorf("a whole one is mended: %v", got)
	}
	whole.Labels["pod-security.kubernetes.io/enforce"] = "privileged"
	if got := mendNamespace(ws, whole, claimMade); got == nil {
		t.Error("a loosened one is not mended")
	}
	adopted := namespaceLabels(ws, claimAdopted)
	if _, ok := adopted[v1alpha1.LabelManagedBy]; ok {
		t.Error("an adopted namespace's managed-by is its owner's")
	}
	if diff := cmp.Diff(6, len(adopted)); diff != "" {
		t.Errorf("labels of an adopted namespace: %v", adopted)
	}
}
