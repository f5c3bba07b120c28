package workspace

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// podSecurityVersion pins what "restricted" means, so that an upgrade of the
// cluster doesn't change it under running tenants. It is the newest minor that
// this operator is tested with; an older API server reads a version that it
// doesn't know as its own newest.
const podSecurityVersion = "v1.37"

const workspaceKind = "Workspace"

// claim is whose the namespace is.
type claim int

const (
	// claimAbsent: there is none; it can be made.
	claimAbsent claim = iota
	// claimMade: the operator made it for this Workspace, and it goes with it.
	claimMade
	// claimAdopted: a cluster admin handed it over, and it stays.
	claimAdopted
	// claimTerminating: it is on its way out; what follows may be ours.
	claimTerminating
	// claimTaken: it is somebody else's.
	claimTaken
)

// held: the namespace is the workspace's now.
func (c claim) held() bool { return c == claimMade || c == claimAdopted }

// judgeNamespace tells whose ns is, and in a sentence why ws can't have it. An
// owner counts by its UID: a name says nothing after a Workspace was deleted and
// made anew.
func judgeNamespace(ws *v1alpha1.Workspace, ns *corev1.Namespace) (claim, string) {
	if ns == nil {
		return claimAbsent, ""
	}
	owner := workspaceOwning(ns)
	switch {
	case !ns.DeletionTimestamp.IsZero():
		return claimTerminating, fmt.Sprintf("namespace %q is being deleted; the workspace gets it anew when that is done", ns.Name)
	case owner != nil && owner.UID == ws.UID:
		return claimMade, ""
	case owner != nil && owner.Name == ws.Name:
		return claimTerminating, fmt.Sprintf("namespace %q was made for an earlier Workspace %q and is about to be deleted with it", ns.Name, ws.Name)
	case owner != nil:
		return claimTaken, fmt.Sprintf("namespace %q was made for Workspace %q: delete this Workspace and create it with another spec.namespace", ns.Name, owner.Name)
	case ns.Labels[v1alpha1.LabelWorkspace] == ws.Name:
		return claimAdopted, ""
	case ns.Labels[v1alpha1.LabelWorkspace] != "":
		return claimTaken, fmt.Sprintf("namespace %q is labelled for Workspace %q: delete this Workspace and create it with another spec.namespace", ns.Name, ns.Labels[v1alpha1.LabelWorkspace])
	default:
		return claimTaken, fmt.Sprintf("namespace %[1]q exists and is not this workspace's: a cluster admin can hand it over with `kubectl label namespace %[1]s %[2]s=%[3]s`; or delete this Workspace and create it with another spec.namespace",
			ns.Name, v1alpha1.LabelWorkspace, ws.Name)
	}
}

func workspaceOwning(ns *corev1.Namespace) *metav1.OwnerReference {
	for i := range ns.OwnerReferences {
		if ref := &ns.OwnerReferences[i]; ref.Kind == workspaceKind && schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group == v1alpha1.Group {
			return ref
		}
	}
	return nil
}

// newNamespace is the namespace as it is made: with POST, which fails where
// server-side apply would take over one that somebody made a moment before.
func newNamespace(ws *v1alpha1.Workspace) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:            ws.NamespaceName(),
		Labels:          namespaceLabels(ws, claimMade),
		Annotations:     namespaceAnnotations(ws),
		OwnerReferences: []metav1.OwnerReference{*ownerOf(ws)},
	}}
}

// mendNamespace is what to apply onto the namespace; nil if its labels and
// annotations are in place.
func mendNamespace(ws *v1alpha1.Workspace, ns *corev1.Namespace, c claim) runtime.ApplyConfiguration {
	labels, annotations := namespaceLabels(ws, c), namespaceAnnotations(ws)
	if c == claimAbsent || containsAll(ns.Labels, labels) && containsAll(ns.Annotations, annotations) {
		return nil
	}
	return applycorev1.Namespace(ns.Name).WithUID(ns.UID).WithLabels(labels).WithAnnotations(annotations)
}

// namespaceAnnotations tell the admission policies which image may run.
func namespaceAnnotations(ws *v1alpha1.Workspace) map[string]string {
	return map[string]string{v1alpha1.AnnotationRunnerImage: ws.Spec.Runner.Image}
}

// namespaceLabels: of an adopted namespace only Pod Security is the operator's
// business; app.kubernetes.io/managed-by there is its owner's.
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

// labelsOf are on everything that the operator makes for ws.
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
