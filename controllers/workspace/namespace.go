package workspace

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// podSecurityVersion pins what "restricted" means, so that an upgrade of the cluster
// doesn't change it under running tenants. It is the newest minor version that this
// operator is tested with; an older API server reads it as its own newest.
const podSecurityVersion = "v1.37"

const workspaceKind = "Workspace"

// terminatingRetry is how often an object that is being deleted is checked: the cache may
// not hold it, so no watch reports that it has gone.
const terminatingRetry = 5 * time.Second

// claim is the right that a workspace has to a namespace.
type claim int

const (
	// claimAbsent means that the namespace does not exist and can be created.
	claimAbsent claim = iota
	// claimMade means that the operator created it for this Workspace. It is deleted
	// with the Workspace.
	claimMade
	// claimAdopted means that a cluster admin handed it over. It stays.
	claimAdopted
	// claimTerminating means that it is being deleted. The workspace may get the next
	// namespace of this name.
	claimTerminating
	// claimTaken means that it belongs to something else.
	claimTaken
)

// held reports whether the workspace has the namespace now.
func (c claim) held() bool { return c == claimMade || c == claimAdopted }

// judgeNamespace returns the right that ws has to ns and, if it has none, a sentence that
// says why. Owners are compared by UID, because a Workspace that was deleted and created
// again has the same name.
func judgeNamespace(ws *v1alpha1.Workspace, ns *corev1.Namespace) (claim, string) {
	if ns == nil {
		return claimAbsent, ""
	}
	owner := workspaceOwning(ns)
	switch {
	case !ns.DeletionTimestamp.IsZero():
		return claimTerminating, beingDeleted(ns.Name)
	case owner != nil && owner.UID == ws.UID:
		return claimMade, ""
	case owner != nil && owner.Name == ws.Name:
		return claimTerminating, fmt.Sprintf("namespace %q was created for an earlier Workspace %q and is about to be deleted with it", ns.Name, ws.Name)
	case owner != nil:
		return claimTaken, fmt.Sprintf("namespace %q was created for Workspace %q: delete this Workspace and create it with another spec.namespace", ns.Name, owner.Name)
	case ns.Labels[v1alpha1.LabelWorkspace] == ws.Name && adopter(ws, ns) == "":
		return claimTaken, fmt.Sprintf("namespace %[1]q is labelled for this workspace, but no annotation says who adopted it: check what is in it; then a cluster admin can hand it over with `kubectl annotate namespace %[1]s %[2]s=<the admin's user name>`",
			ns.Name, v1alpha1.AnnotationAdoptedBy)
	case ns.Labels[v1alpha1.LabelWorkspace] == ws.Name:
		return claimAdopted, ""
	case ns.Labels[v1alpha1.LabelWorkspace] != "":
		return claimTaken, fmt.Sprintf("namespace %q is labelled for Workspace %q: delete this Workspace and create it with another spec.namespace", ns.Name, ns.Labels[v1alpha1.LabelWorkspace])
	default:
		return claimTaken, fmt.Sprintf("namespace %[1]q exists and does not belong to this workspace: check what is in it; then a cluster admin can hand it over with `kubectl annotate namespace %[1]s %[4]s=<the admin's user name>` and `kubectl label namespace %[1]s %[2]s=%[3]s`; or delete this Workspace and create it with another spec.namespace",
			ns.Name, v1alpha1.LabelWorkspace, ws.Name, v1alpha1.AnnotationAdoptedBy)
	}
}

// adopter returns the user who handed ns over to ws, or "" if nobody with the right to do so
// did. An admission policy keeps the annotation true. A namespace that ws held before there was such a policy
// stays its namespace.
func adopter(ws *v1alpha1.Workspace, ns *corev1.Namespace) string {
	if by := ns.Annotations[v1alpha1.AnnotationAdoptedBy]; by != "" {
		return by
	}
	if ws.Status.Namespace == ns.Name {
		return unknownAdopter
	}
	return ""
}

// unknownAdopter stands in status.adoptedBy for a user who adopted the namespace before that
// was recorded.
const unknownAdopter = "unknown"

func beingDeleted(namespace string) string {
	return fmt.Sprintf("namespace %q is being deleted; the operator creates it again after that", namespace)
}

func workspaceOwning(ns *corev1.Namespace) *metav1.OwnerReference {
	for i := range ns.OwnerReferences {
		if ref := &ns.OwnerReferences[i]; ref.Kind == workspaceKind && schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group == v1alpha1.Group {
			return ref
		}
	}
	return nil
}

// newNamespace returns the namespace to create. It is sent with POST, because server-side
// apply would take over one that somebody created a moment before.
func newNamespace(ws *v1alpha1.Workspace) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:            ws.NamespaceName(),
		Labels:          namespaceLabels(ws, claimMade),
		Annotations:     runnerjob.Permits(ws),
		OwnerReferences: []metav1.OwnerReference{*ownerOf(ws)},
	}}
}

// namespaceDrift returns what to apply to the namespace, or nil if its labels and annotations
// are as they should be.
func namespaceDrift(ws *v1alpha1.Workspace, ns *corev1.Namespace, c claim) *child {
	labels, annotations := namespaceLabels(ws, c), runnerjob.Permits(ws)
	if containsAll(ns.Labels, labels) && containsAll(ns.Annotations, annotations) {
		return nil
	}
	config := applycorev1.Namespace(ns.Name).WithLabels(labels).WithAnnotations(annotations)
	return new(newChild(ns, config, applycorev1.ExtractNamespace).onto(ns))
}

// namespaceLabels returns the labels that the operator keeps on the namespace. An adopted
// namespace gets only those of Pod Security: there, its owner decides about
// app.kubernetes.io/managed-by.
func namespaceLabels(ws *v1alpha1.Workspace, c claim) map[string]string {
	labels := map[string]string{}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
		labels["pod-security.kubernetes.io/"+mode+"-version"] = podSecurityVersion
	}
	if c == claimMade {
		maps.Copy(labels, labelsOf(ws))
	}
	return labels
}

func containsAll(has, want map[string]string) bool {
	return !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(key string) bool { return has[key] != want[key] })
}

// labelsOf returns the labels of everything that the operator creates for ws.
func labelsOf(ws *v1alpha1.Workspace) map[string]string {
	return map[string]string{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
		v1alpha1.LabelWorkspace: ws.Name,
	}
}

func ownerOf(ws *v1alpha1.Workspace) *metav1.OwnerReference {
	return metav1.NewControllerRef(ws, v1alpha1.GroupVersion.WithKind(workspaceKind))
}

func applyOwnerOf(ws *v1alpha1.Workspace) *applymetav1.OwnerReferenceApplyConfiguration {
	owner := ownerOf(ws)
	return applymetav1.OwnerReference().
		WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).WithName(owner.Name).WithUID(owner.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}
