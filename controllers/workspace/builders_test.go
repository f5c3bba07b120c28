package workspace

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// workspaceBuilder makes Workspaces for tests.
type workspaceBuilder struct{ ws v1alpha1.Workspace }

// MakeWorkspace makes a Workspace with the fields that each one needs.
func MakeWorkspace(name string) *workspaceBuilder {
	return &workspaceBuilder{v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{
				SecretRef: v1alpha1.SecretKeyRef{Name: "database", Key: "url"},
				Schema:    "hangfire",
				Egress:    []v1alpha1.EgressRule{egressTo("10.1.2.3/32")},
			},
			Runner: v1alpha1.Runner{Image: "runner:1", ImagePullPolicy: corev1.PullIfNotPresent},
		},
	}}
}

func egressTo(cidr string) v1alpha1.EgressRule {
	return v1alpha1.EgressRule{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}},
	}
}

func (b *workspaceBuilder) UID(uid types.UID) *workspaceBuilder { b.ws.UID = uid; return b }

func (b *workspaceBuilder) Generation(g int64) *workspaceBuilder { b.ws.Generation = g; return b }

func (b *workspaceBuilder) Image(image string) *workspaceBuilder {
	b.ws.Spec.Runner.Image = image
	return b
}

func (b *workspaceBuilder) AllowSuperuser() *workspaceBuilder {
	b.ws.Spec.Database.AllowSuperuser = true
	return b
}

func (b *workspaceBuilder) Namespace(name string) *workspaceBuilder {
	b.ws.Spec.Namespace = name
	return b
}

func (b *workspaceBuilder) DatabaseEgress(cidr string) *workspaceBuilder {
	b.ws.Spec.Database.Egress = []v1alpha1.EgressRule{egressTo(cidr)}
	return b
}

func (b *workspaceBuilder) Quota(list corev1.ResourceList) *workspaceBuilder {
	b.ws.Spec.Quota = list
	return b
}

func (b *workspaceBuilder) Member(role v1alpha1.MemberRole, users ...string) *workspaceBuilder {
	member := v1alpha1.Member{Role: role}
	for _, user := range users {
		member.Subjects = append(member.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, Name: user})
	}
	b.ws.Spec.Members = append(b.ws.Spec.Members, member)
	return b
}

// DatabaseReady sets the condition as of a generation.
func (b *workspaceBuilder) DatabaseReady(status metav1.ConditionStatus, reason, message string, generation int64) *workspaceBuilder {
	b.ws.Status.Conditions = append(b.ws.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionDatabaseReady, Status: status, Reason: reason, Message: message, ObservedGeneration: generation,
	})
	return b
}

func (b *workspaceBuilder) Obj() *v1alpha1.Workspace { return b.ws.DeepCopy() }

// namespaceBuilder makes Namespaces for tests.
type namespaceBuilder struct{ ns corev1.Namespace }

func MakeNamespace(name string) *namespaceBuilder {
	return &namespaceBuilder{corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "ns-uid", Labels: map[string]string{}}}}
}

func (b *namespaceBuilder) Label(key, value string) *namespaceBuilder {
	b.ns.Labels[key] = value
	return b
}

func (b *namespaceBuilder) For(workspace string) *namespaceBuilder {
	b.ns.Annotations = map[string]string{v1alpha1.AnnotationAdoptedBy: "ana"}
	return b.Label(v1alpha1.LabelWorkspace, workspace)
}

func (b *namespaceBuilder) OwnedBy(workspace string, uid types.UID) *namespaceBuilder {
	b.ns.OwnerReferences = append(b.ns.OwnerReferences, metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Workspace", Name: workspace, UID: uid, Controller: new(true),
	})
	return b
}

func (b *namespaceBuilder) Terminating() *namespaceBuilder {
	b.ns.DeletionTimestamp = new(metav1.Unix(1, 0))
	return b
}

func (b *namespaceBuilder) Obj() *corev1.Namespace { return b.ns.DeepCopy() }

// migrationBuilder makes migration Jobs as they come back from the API server.
type migrationBuilder struct{ job *batchv1.Job }

func MakeMigration(ws *v1alpha1.Workspace, try int) *migrationBuilder {
	job := migrationJob(ws, try)
	job.UID = types.UID("uid of " + job.Name)
	return &migrationBuilder{job}
}

func (b *migrationBuilder) Ended(condition batchv1.JobConditionType, at time.Time) *migrationBuilder {
	b.job.Status.Conditions = []batchv1.JobCondition{{
		Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at),
	}}
	return b
}

func (b *migrationBuilder) Terminating() *migrationBuilder {
	b.job.DeletionTimestamp = new(metav1.Unix(1, 0))
	return b
}

func (b *migrationBuilder) Obj() *batchv1.Job { return b.job.DeepCopy() }

// UIDless is one that can be created.
func (b *namespaceBuilder) UIDless() *corev1.Namespace {
	ns := b.Obj()
	ns.UID = ""
	return ns
}
