package workspace

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// child is one object that a workspace's namespace has.
type child struct {
	kind, name string
	// wanted is false for one that must go if it is ours: a role without members.
	wanted bool
	// blank is what to read the object into.
	blank client.Object
	// config is what the operator applies.
	config runtime.ApplyConfiguration
	// guard limits config to the object with this UID: the API server refuses it
	// for another one that has taken the name meanwhile.
	guard func(types.UID)
	// settled: what the operator owns of live is what it wants. It sees edits,
	// which take a field's ownership away, as well as fields that an earlier spec
	// had and this one has not.
	settled func(live client.Object) (bool, error)
	// immutable: live can't become config; it has to be made anew.
	immutable func(live client.Object) bool
}

// applied is an apply configuration.
type applied[C any] interface {
	runtime.ApplyConfiguration
	GetKind() *string
	GetName() *string
	WithUID(types.UID) C
}

// newChild ties an object's type to its apply configuration and to the function
// that extracts from a live object what a field manager owns.
func newChild[O client.Object, C applied[C]](blank O, config C, extract func(O, string) (C, error)) child {
	return child{
		kind: *config.GetKind(), name: *config.GetName(), wanted: true, blank: blank, config: config,
		guard: func(uid types.UID) { config.WithUID(uid) },
		settled: func(live client.Object) (bool, error) {
			typed, ok := live.(O)
			if !ok {
				return false, fmt.Errorf("a %T where a %T was expected", live, blank)
			}
			owned, err := extract(typed, v1alpha1.ManagedBy)
			if err != nil {
				return false, fmt.Errorf("read the fields of %s %q that the operator owns: %w", *config.GetKind(), live.GetName(), err)
			}
			return equality.Semantic.DeepEqual(owned, config), nil
		},
		immutable: func(client.Object) bool { return false },
	}
}

func (c child) key() string { return c.kind + "/" + c.name }

// controls: the object is ws's, by UID.
func controls(ws *v1alpha1.Workspace, object client.Object) bool {
	return metav1.IsControlledBy(object, ws)
}

// stranger says who is in the way, and what to do about it.
func stranger(kind string, object client.Object) string {
	whose := "made by somebody else"
	if owner := metav1.GetControllerOf(object); owner != nil {
		whose = fmt.Sprintf("controlled by %s %q", owner.Kind, owner.Name)
	}
	return fmt.Sprintf("%s %q in namespace %q is in the way: it is %s, and the operator takes nothing over: delete it, and the workspace gets its own",
		kind, object.GetName(), object.GetNamespace(), whose)
}
