package workspace

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applynetworkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	applyrbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

const (
	limitRangeName = v1alpha1.ManagedBy
	denyPolicy     = v1alpha1.ManagedBy + "-default-deny"
	runnerPolicy   = v1alpha1.ManagedBy + "-runner"
)

// decideChildren decides about the objects in the namespace, and reports whether all of them
// are in place. An obstacle to one child does not keep the others from being applied.
func decideChildren(o observed, d *decision) bool {
	var obstacles []report.Refusal
	isolated := true
	for _, c := range children(o.workspace, o.fence.Namespace) {
		live := o.live[c.key()]
		refusal, refused := o.refused[c.key()]
		switch {
		case refused:
			obstacles = append(obstacles, refusal)
			isolated = isolated && !c.isolates()
		case o.applied[c.key()], live == nil && !c.wanted:
		case live == nil:
			d.apply = append(d.apply, c)
		case !controls(o.workspace, live) && c.wanted:
			obstacles = append(obstacles, report.Refusal{Kind: report.NameTaken, Message: foreignMessage(c.kind, live)})
		case !controls(o.workspace, live):
		case !c.wanted, c.immutable(live), overlooked(live, o.now):
			d.remove = append(d.remove, c)
		case !c.upToDate(live):
			d.apply = append(d.apply, c.onto(live))
		}
	}
	if d.acts() {
		return false
	}
	if len(obstacles) > 0 {
		d.obstructed(obstacles)
		// No attempt may start in a namespace that is not isolated.
		d.keepReady = d.keepReady && isolated
		return false
	}
	return true
}

// children returns the objects in ws's namespace, in the order in which they are applied:
// network policies and quota first, which isolate the tenant. operator is the operator's
// namespace.
func children(ws *v1alpha1.Workspace, operator string) []child {
	list := []child{
		newChild(&networkingv1.NetworkPolicy{}, defaultDeny(ws), applynetworkingv1.ExtractNetworkPolicy),
		newChild(&networkingv1.NetworkPolicy{}, runnerEgress(ws, operator), applynetworkingv1.ExtractNetworkPolicy),
		newChild(&corev1.ResourceQuota{}, quota(ws), applycorev1.ExtractResourceQuota),
		newChild(&corev1.LimitRange{}, limitRange(ws), applycorev1.ExtractLimitRange),
		newChild(&corev1.ServiceAccount{}, serviceAccount(ws), applycorev1.ExtractServiceAccount),
	}
	for _, role := range v1alpha1.MemberRoles() {
		binding := newChild(&rbacv1.RoleBinding{}, roleBinding(ws, role), applyrbacv1.ExtractRoleBinding)
		binding.wanted = len(subjectsOf(ws, role)) > 0
		binding.immutable = func(live client.Object) bool { return refersElsewhere(live, role) }
		list = append(list, binding)
	}
	return list
}

func serviceAccount(ws *v1alpha1.Workspace) *applycorev1.ServiceAccountApplyConfiguration {
	return applycorev1.ServiceAccount(v1alpha1.RunnerServiceAccount, ws.NamespaceName()).
		WithLabels(labelsOf(ws)).
		WithOwnerReferences(applyOwnerOf(ws)).
		WithAutomountServiceAccountToken(false)
}

// limitRange gives a container that sets no resources the defaults that the quota requires.
// CPU has no limit: a limit would only slow a job down while the node idles.
func limitRange(ws *v1alpha1.Workspace) *applycorev1.LimitRangeApplyConfiguration {
	limits := corev1.ResourceList{
		corev1.ResourceMemory:           resource.MustParse("256Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Gi"),
	}
	requests := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("50m"),
		corev1.ResourceMemory:           resource.MustParse("128Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Mi"),
	}
	return applycorev1.LimitRange(limitRangeName, ws.NamespaceName()).
		WithLabels(labelsOf(ws)).
		WithOwnerReferences(applyOwnerOf(ws)).
		WithSpec(applycorev1.LimitRangeSpec().WithLimits(
			applycorev1.LimitRangeItem().WithType(corev1.LimitTypeContainer).WithDefault(limits).WithDefaultRequest(requests)))
}
