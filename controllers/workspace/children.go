package workspace

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	quotaName      = v1alpha1.ManagedBy
	limitRangeName = v1alpha1.ManagedBy
	denyPolicy     = v1alpha1.ManagedBy + "-default-deny"
	runnerPolicy   = v1alpha1.ManagedBy + "-runner"

	quotaKey = "ResourceQuota/" + quotaName
	// countedJobs is the quota's limit on WorkspaceJobs.
	countedJobs corev1.ResourceName = "count/workspacejobs." + v1alpha1.Group
)

// children are the objects that ws's namespace has, in the order in which they
// are made: nothing can run before it is fenced in.
func children(ws *v1alpha1.Workspace) []child {
	list := []child{
		newChild(&networkingv1.NetworkPolicy{}, defaultDeny(ws), extractNetworkPolicy),
		newChild(&networkingv1.NetworkPolicy{}, runnerEgress(ws), extractNetworkPolicy),
		newChild(&corev1.ResourceQuota{}, quota(ws), applycorev1.ExtractResourceQuota),
		newChild(&corev1.LimitRange{}, limitRange(ws), applycorev1.ExtractLimitRange),
		newChild(&corev1.ServiceAccount{}, serviceAccount(ws), applycorev1.ExtractServiceAccount),
	}
	for _, role := range v1alpha1.MemberRoles() {
		binding := newChild(&rbacv1.RoleBinding{}, roleBinding(ws, role), extractRoleBinding)
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

// defaultQuota: what a workspace may use unless spec.quota says otherwise. The
// counts of finished objects are there to keep one tenant from filling etcd; work
// at once is limited by pods, cpu and memory.
func defaultQuota() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceRequestsCPU:                       resource.MustParse("4"),
		corev1.ResourceRequestsMemory:                    resource.MustParse("8Gi"),
		corev1.ResourceLimitsMemory:                      resource.MustParse("8Gi"),
		corev1.ResourceRequestsEphemeralStorage:          resource.MustParse("20Gi"),
		corev1.ResourceLimitsEphemeralStorage:            resource.MustParse("40Gi"),
		corev1.ResourcePods:                              resource.MustParse("100"),
		"count/pods":                                     resource.MustParse("20k"),
		"count/jobs.batch":                               resource.MustParse("20k"),
		"count/cronjobs.batch":                           resource.MustParse("200"),
		"count/workspacejobs." + v1alpha1.Group:          resource.MustParse("10k"),
		"count/workspacerecurringjobs." + v1alpha1.Group: resource.MustParse("200"),
		corev1.ResourcePersistentVolumeClaims:            resource.MustParse("0"),
		corev1.ResourceServicesNodePorts:                 resource.MustParse("0"),
		corev1.ResourceServicesLoadBalancers:             resource.MustParse("0"),
	}
}

func quota(ws *v1alpha1.Workspace) *applycorev1.ResourceQuotaApplyConfiguration {
	hard := defaultQuota()
	maps.Copy(hard, ws.Spec.Quota)
	return applycorev1.ResourceQuota(quotaName, ws.NamespaceName()).
		WithLabels(labelsOf(ws)).
		WithOwnerReferences(applyOwnerOf(ws)).
		WithSpec(applycorev1.ResourceQuotaSpec().WithHard(hard))
}

// limitRange gives a container that asks for nothing what the quota demands that
// it says. Cpu has no limit: it would only slow a job down while the node idles.
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
