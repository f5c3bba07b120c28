package benchmark

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// storageRows returns the checks of volumes, which the benchmark describes but does not
// implement.
func storageRows() []row {
	return []row{
		{
			id: "open (#1198)", what: "Persistent volume claims", asks: "a pod's storage is claimed, never named directly",
			differs: "a workspace can't claim storage either, unless a platform admin raises its quota",
			check:   checkClaims,
		},
		{
			id: "open (#1199)", what: "Reclaim policy", asks: "a tenant's volume is deleted with its claim",
			differs: "there are no claims. If you raise the quota, use a StorageClass with `reclaimPolicy: Delete`",
			check:   checkReclaimPolicy,
		},
		{
			id: "open (#1200)", what: "Existing volumes", asks: "no tenant claims a volume of another tenant",
			check: checkExistingVolumes,
		},
	}
}

// named are volumes that need no claim.
var named = map[string]corev1.VolumeSource{
	"nfs":                  {NFS: &corev1.NFSVolumeSource{Server: "192.0.2.30", Path: "/"}},
	"iscsi":                {ISCSI: &corev1.ISCSIVolumeSource{TargetPortal: "192.0.2.30", IQN: "iqn.2001-04.com.example:storage"}},
	"fc":                   {FC: &corev1.FCVolumeSource{TargetWWNs: []string{"50060e801049cfd1"}, Lun: new(int32(0))}},
	"cephfs":               {CephFS: &corev1.CephFSVolumeSource{Monitors: []string{"192.0.2.30"}}},
	"awsElasticBlockStore": {AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}},
}

func podWith(name string, source corev1.VolumeSource) *corev1.Pod {
	pod := compliantPod("with-"+strings.ToLower(name), acmeSpace)
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: source}}
	return pod
}

func checkClaims(c *clusterT, s *seen) {
	c.membersClaimNothing(s)
	pods := c.resource("", "pods")
	claimed := podWith("claim", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}})
	if _, err := c.ask(deployer, request{verb: "create", resource: pods, namespace: acmeSpace, body: claimed}); err != nil {
		c.Errorf("a pod with a claim was refused: %v", err)
	}
	var types []string
	for name, source := range named {
		want := refusal{byPodSecurity, `restricted volume types (volume "data" uses restricted volume type "` + name + `")`}
		_, err := c.ask(deployer, request{verb: "create", resource: pods, namespace: acmeSpace, body: podWith(name, source)})
		if got := refusalOf(err); got != want {
			c.Errorf("a pod with a volume of type %s: %s, not %s", name, got, want)
		}
		types = append(types, name)
	}
	s.say(maker, "Pod Security refuses volumes of the types %s; one that names a claim is accepted", code(distinct(types)...))
	c.quotaRefusesClaims(s, claimOf(acmeSpace, nil))
	c.kindsCannotSay(s, map[string]any{
		"volumes":              []any{map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": "data"}}},
		"volumeClaimTemplates": []any{map[string]any{"metadata": map[string]any{"name": "data"}}},
	}, map[string]any{"volumeMounts": []any{map[string]any{"name": "data", "mountPath": "/data"}}})
	for _, volume := range control.Spec.Volumes {
		if volume.EmptyDir == nil {
			c.Errorf("a job's pod has the volume %v", volume)
		}
	}
}

func (c *clusterT) membersClaimNothing(s *seen) {
	c.Helper()
	count := c.wantRBAC(membersOf(acme), every(c.family("", "persistentvolumeclaims"), acmeSpace, "any"))
	s.say(members, "RBAC refuses all %d requests of every verb to claims", count)
}

// quotaRefusesClaims checks that the quota, and nothing else, refuses a claim.
func (c *clusterT) quotaRefusesClaims(s *seen, claim *corev1.PersistentVolumeClaim) {
	c.Helper()
	r := request{verb: "create", resource: c.resource("", "persistentvolumeclaims"), namespace: acmeSpace, body: claim}
	_, err := c.ask(deployer, r)
	if got, want := refusalOf(err), (refusal{byQuota, "persistentvolumeclaims"}); got != want {
		c.Errorf("a claim: %s, not %s", got, want)
	}
	s.say(maker, "the quota refuses a claim by %s", code("persistentvolumeclaims"))
	elsewhere := claim.DeepCopy()
	elsewhere.Namespace = roomySpace
	r.namespace, r.body = roomySpace, elsewhere
	if _, err := c.ask(deployer, r); err != nil {
		c.Errorf("with room in the quota the claim was refused: %v", err)
	}
}

func claimOf(namespace string, change func(*corev1.PersistentVolumeClaimSpec)) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: namespace},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: quantities("storage", "1Gi")},
		},
	}
	if change != nil {
		change(&claim.Spec)
	}
	return claim
}

func volumeOf(name string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      quantities("storage", "1Gi"),
			PersistentVolumeReclaimPolicy: policy,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "192.0.2.30", Path: "/"}},
		},
	}
}

// membersMakeNoVolumes checks that members can't write volumes, StorageClasses and
// attachments, which have no namespace.
func (c *clusterT) membersMakeNoVolumes(s *seen) {
	c.Helper()
	families := slices.Concat(c.family("", "persistentvolumes"), c.family("storage.k8s.io", "storageclasses"), c.family("storage.k8s.io", "volumeattachments"))
	count := c.wantRBAC(append(membersOf(acme), deployer), every(families, "", "any"))
	s.say(members, "RBAC refuses all %d requests of every verb to volumes, StorageClasses and attachments", count)
	s.say(maker, "the same")
}

func checkReclaimPolicy(c *clusterT, s *seen) {
	c.membersMakeNoVolumes(s)
	c.quotaRefusesClaims(s, claimOf(acmeSpace, func(spec *corev1.PersistentVolumeClaimSpec) { spec.StorageClassName = new("retains") }))
	for _, policy := range []corev1.PersistentVolumeReclaimPolicy{corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain} {
		class := &storagev1.StorageClass{
			TypeMeta:   metav1.TypeMeta{APIVersion: storagev1.SchemeGroupVersion.String(), Kind: "StorageClass"},
			ObjectMeta: metav1.ObjectMeta{Name: "class"}, Provisioner: "example.com/none", ReclaimPolicy: new(policy),
		}
		for r, body := range map[string]any{"persistentvolumes": volumeOf("volume", policy), "storageclasses": class} {
			group := map[string]string{"persistentvolumes": "", "storageclasses": "storage.k8s.io"}[r]
			if _, err := c.ask(clusterAdmin, request{verb: "create", resource: c.resource(group, r), body: body}); err != nil {
				c.Errorf("even a cluster admin can't make %s with %s: %v", r, policy, err)
			}
		}
	}
	c.kindsCannotSay(s, map[string]any{"storageClassName": "retains", "persistentVolumeReclaimPolicy": "Retain"}, nil)
}

func checkExistingVolumes(c *clusterT, s *seen) {
	c.membersMakeNoVolumes(s)
	c.membersClaimNothing(s)
	volume := volumeOf("globex-had-this", corev1.PersistentVolumeReclaimRetain)
	c.create(volume)
	c.quotaRefusesClaims(s, claimOf(acmeSpace, func(spec *corev1.PersistentVolumeClaimSpec) {
		spec.VolumeName, spec.StorageClassName = volume.Name, new("")
	}))
	c.kindsCannotSay(s, map[string]any{"volumeName": volume.Name}, map[string]any{"volumeDevices": []any{map[string]any{"name": volume.Name, "devicePath": "/dev/sda"}}})
}
