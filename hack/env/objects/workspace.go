// Package objects builds the objects of tests, one builder for each kind:
//
//	ws := objects.MakeWorkspace("acme").Member(v1alpha1.RoleEditor, "ana").Obj()
//	job := objects.MakeWorkspaceJob("nightly").In("workspace-acme").Args(`{"days":30}`).Obj()
//
// Make… returns an object that the API server accepts, with nothing set that a test could
// depend on by accident; every method sets one thing and returns the builder; Obj returns
// a copy, so that one builder can build several objects. With is for everything that no method sets.
package objects

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Image is the runner image of a Workspace whose test doesn't choose one. Nothing pulls it.
const Image = "registry.example.net/runner:1"

// WorkspaceBuilder builds a Workspace.
type WorkspaceBuilder struct{ ws v1alpha1.Workspace }

// MakeWorkspace returns a builder of a Workspace with the fields that one must have, and
// those that the API server would set in them.
func MakeWorkspace(name string) *WorkspaceBuilder {
	return &WorkspaceBuilder{v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{
				SecretRef: v1alpha1.SecretKeyRef{Name: "database", Key: "url"}, Schema: "hangfire", Egress: []v1alpha1.EgressRule{{}},
			},
			Runner: v1alpha1.Runner{Image: Image, ImagePullPolicy: corev1.PullIfNotPresent},
		},
	}}
}

// Obj returns the Workspace.
func (b *WorkspaceBuilder) Obj() *v1alpha1.Workspace { return b.ws.DeepCopy() }

// With changes what no other method changes.
func (b *WorkspaceBuilder) With(change func(*v1alpha1.Workspace)) *WorkspaceBuilder {
	change(&b.ws)
	return b
}

// UID sets metadata.uid.
func (b *WorkspaceBuilder) UID(uid types.UID) *WorkspaceBuilder { b.ws.UID = uid; return b }

// Generation sets metadata.generation.
func (b *WorkspaceBuilder) Generation(g int64) *WorkspaceBuilder { b.ws.Generation = g; return b }

// Namespace sets spec.namespace.
func (b *WorkspaceBuilder) Namespace(name string) *WorkspaceBuilder {
	b.ws.Spec.Namespace = name
	return b
}

// Image sets the runner's image.
func (b *WorkspaceBuilder) Image(image string) *WorkspaceBuilder {
	b.ws.Spec.Runner.Image = image
	return b
}

// Secrets sets the names of the Secrets that runners get.
func (b *WorkspaceBuilder) Secrets(names ...string) *WorkspaceBuilder {
	b.ws.Spec.Runner.Secrets = names
	return b
}

// AllowSuperuser lets the workspace's role be a superuser.
func (b *WorkspaceBuilder) AllowSuperuser() *WorkspaceBuilder {
	b.ws.Spec.Database.AllowSuperuser = true
	return b
}

// DatabaseEgress limits the connections to the database to a network such as 10.1.2.3/32, and to
// the ports if there are any.
func (b *WorkspaceBuilder) DatabaseEgress(cidr string, ports ...int32) *WorkspaceBuilder {
	b.ws.Spec.Database.Egress = []v1alpha1.EgressRule{EgressTo(cidr, ports...)}
	return b
}

// EgressTo returns a rule that allows a network, and only these ports of it if there are any.
func EgressTo(cidr string, ports ...int32) v1alpha1.EgressRule {
	rule := v1alpha1.EgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}}}
	for _, port := range ports {
		rule.Ports = append(rule.Ports, v1alpha1.EgressPort{Port: new(port)})
	}
	return rule
}

// Quota sets spec.quota.
func (b *WorkspaceBuilder) Quota(list corev1.ResourceList) *WorkspaceBuilder {
	b.ws.Spec.Quota = list
	return b
}

// Concurrency sets how many jobs may run at once.
func (b *WorkspaceBuilder) Concurrency(limit int32) *WorkspaceBuilder {
	b.ws.Spec.Concurrency = &limit
	return b
}

// Suspend keeps the workspace's jobs from running.
func (b *WorkspaceBuilder) Suspend() *WorkspaceBuilder { b.ws.Spec.Suspend = true; return b }

// Member adds users with a role.
func (b *WorkspaceBuilder) Member(role v1alpha1.MemberRole, users ...string) *WorkspaceBuilder {
	subjects := make([]rbacv1.Subject, len(users))
	for i, user := range users {
		subjects[i] = rbacv1.Subject{Kind: rbacv1.UserKind, Name: user}
	}
	return b.MemberSubjects(role, subjects...)
}

// MemberSubjects adds subjects of any kind with a role.
func (b *WorkspaceBuilder) MemberSubjects(role v1alpha1.MemberRole, subjects ...rbacv1.Subject) *WorkspaceBuilder {
	b.ws.Spec.Members = append(b.ws.Spec.Members, v1alpha1.Member{Role: role, Subjects: subjects})
	return b
}

// Account returns a ServiceAccount as a subject.
func Account(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

// Condition adds a condition as of a generation.
func (b *WorkspaceBuilder) Condition(kind string, status metav1.ConditionStatus, reason, message string, generation int64) *WorkspaceBuilder {
	b.ws.Status.Conditions = append(b.ws.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: generation,
	})
	return b
}

// Holds sets status.namespace: the workspace holds this namespace.
func (b *WorkspaceBuilder) Holds(namespace string) *WorkspaceBuilder {
	b.ws.Status.Namespace = namespace
	return b
}

// Ready gives the workspace the status that it has once jobs can run in its namespace.
func (b *WorkspaceBuilder) Ready() *WorkspaceBuilder {
	b.ws.Status.ObservedGeneration = b.ws.Generation
	return b.Holds(b.ws.NamespaceName()).
		Condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "", b.ws.Generation)
}
