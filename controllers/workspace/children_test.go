package workspace

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// typed converts an apply configuration to the object that it describes.
func typed[T any](t *testing.T, config any) T {
	t.Helper()
	var object T
	encoded, err := json.Marshal(config)
	if err == nil {
		err = json.Unmarshal(encoded, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func TestEveryChildIsOwned(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("uid").Namespace("tenant").Member(v1alpha1.RoleViewer, "vera").Obj()
	wanted := 0
	for _, c := range children(ws, "") {
		if c.wanted {
			wanted++
		}
		object := typed[metav1.PartialObjectMetadata](t, c.config)
		if !controls(ws, &object) || object.Namespace != "tenant" || object.Labels[v1alpha1.LabelManagedBy] != "workspace-jobs" || object.Labels[v1alpha1.LabelWorkspace] != "acme" {
			t.Errorf("%s: %+v", c.key(), object.ObjectMeta)
		}
	}
	if wanted != 6 {
		t.Errorf("%d children; want 5 and one role", wanted)
	}
}

func TestRunnerEgress(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	to := networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		PodSelector:       &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "In", Values: []string{"v"}}}},
	}
	ws.Spec.Database.Egress[0].Ports = []v1alpha1.EgressPort{{Port: new(int32(5432))}}
	ws.Spec.Network = &v1alpha1.Network{Egress: []v1alpha1.EgressRule{
		{To: []networkingv1.NetworkPolicyPeer{to}, Ports: []v1alpha1.EgressPort{{Protocol: corev1.ProtocolUDP, Port: new(int32(8000)), EndPort: new(int32(9000))}}},
		{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}}}},
	}}
	got := typed[networkingv1.NetworkPolicy](t, runnerEgress(ws, "operators")).Spec
	port := func(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(number))}
	}
	ranged := port(corev1.ProtocolUDP, 8000)
	ranged.EndPort = new(int32(9000))
	want := networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: labelsOf(ws)},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{
			{
				Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)},
				To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
					MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"},
				}}},
			},
			{
				Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 5432)},
				To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.2.3/32"}}},
			},
			{Ports: []networkingv1.NetworkPolicyPort{ranged}, To: []networkingv1.NetworkPolicyPeer{to}},
			{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultDenyIsForAllPods(t *testing.T) {
	t.Parallel()
	got := typed[networkingv1.NetworkPolicy](t, defaultDeny(MakeWorkspace("acme").Obj())).Spec
	want := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQuotaIsLaidOverTheDefaults(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Quota(corev1.ResourceList{"pods": resource.MustParse("3"), "secrets": resource.MustParse("9")}).Obj()
	hard := typed[corev1.ResourceQuota](t, quota(ws)).Spec.Hard
	want := defaultQuota()
	want["pods"], want["secrets"] = resource.MustParse("3"), resource.MustParse("9")
	if diff := cmp.Diff(want, hard); diff != "" {
		t.Error(diff)
	}
	if _, ok := defaultQuota()["secrets"]; ok || len(ws.Spec.Quota) != 2 {
		t.Error("the defaults or the spec were changed")
	}
}

// TestLimitsMeetTheQuota checks that a container that sets no resources gets defaults for
// all that the quota requires.
func TestLimitsMeetTheQuota(t *testing.T) {
	t.Parallel()
	item := typed[corev1.LimitRange](t, limitRange(MakeWorkspace("acme").Obj())).Spec.Limits[0]
	for name := range defaultQuota() {
		for prefix, given := range map[string]corev1.ResourceList{"requests.": item.DefaultRequest, "limits.": item.Default} {
			resourceName, ok := cutPrefix(name, prefix)
			if !ok {
				continue
			}
			if _, ok := given[resourceName]; !ok {
				t.Errorf("nothing is given for %s", name)
			}
		}
	}
	for name, limit := range item.Default {
		if request := item.DefaultRequest[name]; request.Cmp(limit) > 0 {
			t.Errorf("%s: request %s is above limit %s", name, &request, &limit)
		}
	}
}

func cutPrefix(name corev1.ResourceName, prefix string) (corev1.ResourceName, bool) {
	if len(name) <= len(prefix) || string(name[:len(prefix)]) != prefix {
		return "", false
	}
	return name[len(prefix):], true
}

func TestSubjectsOf(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Member(v1alpha1.RoleViewer, "vera", "vito").Member(v1alpha1.RoleEditor, "erik").Member(v1alpha1.RoleViewer, "vera").Obj()
	ws.Spec.Members = append(ws.Spec.Members, v1alpha1.Member{Role: v1alpha1.RoleViewer, Subjects: []rbacv1.Subject{
		{Kind: "ServiceAccount", Namespace: "ci", Name: "bot"}, {Kind: "Group", Name: "ops"}, {Kind: "User", Name: "vera", APIGroup: "rbac.authorization.k8s.io"},
	}})
	want := []rbacv1.Subject{
		{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "vera"},
		{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "vito"},
		{Kind: "ServiceAccount", Namespace: "ci", Name: "bot"},
		{Kind: "Group", APIGroup: "rbac.authorization.k8s.io", Name: "ops"},
	}
	binding := typed[rbacv1.RoleBinding](t, roleBinding(ws, v1alpha1.RoleViewer))
	if diff := cmp.Diff(want, binding.Subjects); diff != "" {
		t.Error(diff)
	}
	if refersElsewhere(&binding, v1alpha1.RoleViewer) || !refersElsewhere(&binding, v1alpha1.RoleEditor) {
		t.Errorf("roleRef %v", binding.RoleRef)
	}
}

func TestServiceAccountMountsNoToken(t *testing.T) {
	t.Parallel()
	account := typed[corev1.ServiceAccount](t, serviceAccount(MakeWorkspace("acme").Obj()))
	if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
		t.Errorf("%+v", account)
	}
}
