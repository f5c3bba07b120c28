package workspace

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
)

const (
	quotaName   = v1alpha1.ManagedBy
	quotaKey    = "ResourceQuota/" + quotaName
	countedJobs = cached.CountedJobs
	// quotaPatience is how long Kubernetes may take to count the objects for a new quota.
	quotaPatience = 10 * time.Second
)

// defaultQuota is what a workspace may use unless spec.quota says otherwise. The counts of
// finished objects keep one tenant from filling etcd; what runs at once is limited by
// pods, CPU and memory.
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
		countedJobs:                                      resource.MustParse("10k"),
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

// counted reports whether Kubernetes knows how many jobs there are, and so accepts more.
func counted(quota client.Object) bool {
	typed, ok := quota.(*corev1.ResourceQuota)
	if !ok {
		return false
	}
	_, known := typed.Status.Used[countedJobs]
	return known
}

// overlooked reports whether live is a quota that Kubernetes first saw before it had
// discovered the CRDs, which can take half a minute. Kubernetes counts for such a quota only
// minutes later, or when the quota is created again.
func overlooked(live client.Object, now time.Time) bool {
	_, isQuota := live.(*corev1.ResourceQuota)
	return isQuota && !counted(live) && now.Sub(live.GetCreationTimestamp().Time) >= quotaPatience
}
