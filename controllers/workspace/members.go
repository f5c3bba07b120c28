package workspace

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	applyrbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// clusterRoleOf returns the ClusterRole that members with this role are bound to, which is
// also the RoleBinding's name: workspace-jobs-viewer, -editor or -admin.
func clusterRoleOf(role v1alpha1.MemberRole) string {
	return v1alpha1.ManagedBy + "-" + strings.ToLower(string(role))
}

func roleBinding(ws *v1alpha1.Workspace, role v1alpha1.MemberRole) *applyrbacv1.RoleBindingApplyConfiguration {
	binding := applyrbacv1.RoleBinding(clusterRoleOf(role), ws.NamespaceName()).
		WithLabels(labelsOf(ws)).
		WithOwnerReferences(applyOwnerOf(ws)).
		WithRoleRef(applyrbacv1.RoleRef().
			WithAPIGroup(rbacv1.GroupName).WithKind("ClusterRole").WithName(clusterRoleOf(role)))
	for _, s := range subjectsOf(ws, role) {
		subject := applyrbacv1.Subject().WithKind(s.Kind).WithName(s.Name)
		if s.APIGroup != "" {
			subject.WithAPIGroup(s.APIGroup)
		}
		if s.Namespace != "" {
			subject.WithNamespace(s.Namespace)
		}
		binding.WithSubjects(subject)
	}
	return binding
}

// subjectsOf returns the subjects with the role, each once, with the API group that the API
// server would fill in.
func subjectsOf(ws *v1alpha1.Workspace, role v1alpha1.MemberRole) []rbacv1.Subject {
	var subjects []rbacv1.Subject
	for _, member := range ws.Spec.Members {
		if member.Role != role {
			continue
		}
		for _, subject := range member.Subjects {
			if subject.APIGroup == "" && (subject.Kind == rbacv1.UserKind || subject.Kind == rbacv1.GroupKind) {
				subject.APIGroup = rbacv1.GroupName
			}
			if !slices.Contains(subjects, subject) {
				subjects = append(subjects, subject)
			}
		}
	}
	return subjects
}

// refersElsewhere reports whether live is a RoleBinding with another roleRef, which can't be
// changed.
func refersElsewhere(live client.Object, role v1alpha1.MemberRole) bool {
	binding, ok := live.(*rbacv1.RoleBinding)
	return ok && binding.RoleRef != rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRoleOf(role)}
}
