package workspace

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// child is one object that the operator applies.
type child struct {
	kind, name string
	// wanted is false for an object that is deleted if it is the workspace's: the binding
	// of a role without members.
	wanted bool
	// blank is an empty object to read into.
	blank client.Object
	// config is what the operator applies.
	config runtime.ApplyConfiguration
	// exists means that config is limited to an object that was read; see onto.
	exists bool
	// guard limits config to the object with this UID.
	guard func(types.UID)
	// upToDate reports whether the fields that the operator owns in live are those that it
	// wants. That shows edits, which take away the ownership of a field, and fields that
	// only an earlier spec had.
	upToDate func(live client.Object) bool
	// immutable reports whether live can't become config and has to be replaced.
	immutable func(live client.Object) bool
}

// isolates reports whether the child keeps the namespace's code away from other tenants, or
// within its share of the cluster.
func (c child) isolates() bool {
	return c.kind == "NetworkPolicy" || c.kind == "ResourceQuota" || c.kind == "LimitRange"
}

// applied is an apply configuration.
type applied[C any] interface {
	runtime.ApplyConfiguration
	GetKind() *string
	GetName() *string
	WithUID(types.UID) C
}

// newChild ties an object's type to its apply configuration and to the function that
// extracts from a live object what a field manager owns.
func newChild[O client.Object, C applied[C]](blank O, config C, extract func(O, string) (C, error)) child {
	return child{
		kind: *config.GetKind(), name: *config.GetName(), wanted: true, blank: blank, config: config,
		guard: func(uid types.UID) { config.WithUID(uid) },
		upToDate: func(live client.Object) bool {
			typed, ok := live.(O)
			if !ok {
				return false
			}
			// An object that can't be read can't be one that the operator wrote.
			owned, err := extract(typed, v1alpha1.ManagedBy)
			return err == nil && equality.Semantic.DeepEqual(owned, config)
		},
		immutable: func(client.Object) bool { return false },
	}
}

// onto returns c limited to the live object by its UID: the API server refuses to apply it
// to another object that has the name by now.
func (c child) onto(live client.Object) child {
	c.guard(live.GetUID())
	c.exists = true
	return c
}

func (c child) key() string { return c.kind + "/" + c.name }

// jobKey returns the key of a migration, or "" for nil.
func jobKey(job *batchv1.Job) string {
	if job == nil {
		return ""
	}
	return "Job/" + job.Name
}

func namespaceKey(name string) string { return "Namespace/" + name }

// controls reports whether the object is controlled by ws, by UID.
func controls(ws *v1alpha1.Workspace, object client.Object) bool {
	return metav1.IsControlledBy(object, ws)
}

// foreignMessage returns a message about another owner's object that is in the way.
func foreignMessage(kind string, object client.Object) string {
	whose := "was made by somebody else"
	if owner := metav1.GetControllerOf(object); owner != nil {
		whose = fmt.Sprintf("is controlled by %s %q", owner.Kind, owner.Name)
	}
	return fmt.Sprintf("%s %q in namespace %q is in the way: it %s, and the operator takes no object over. Delete it, and the operator creates the workspace's own.",
		kind, object.GetName(), object.GetNamespace(), whose)
}
