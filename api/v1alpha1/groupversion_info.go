package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of all kinds here.
const Group = "jobs.openradius.io"

// GroupVersion is the group and version of all kinds here.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Workspace{}, &WorkspaceList{},
		&WorkspaceJob{}, &WorkspaceJobList{},
		&WorkspaceRecurringJob{}, &WorkspaceRecurringJobList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
