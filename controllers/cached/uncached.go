package cached

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errRecreated is returned for an object that was deleted and created again.
var errRecreated = errors.New("it was deleted and created again")

// Uncached reads the object from the API server, because the cache may lag, and holds only
// a part of it. It returns a conflict if another object has the name by now.
func Uncached[T any, P interface {
	*T
	client.Object
}](ctx context.Context, apiReader client.Reader, object P) (P, error) {
	whole := P(new(T))
	if err := apiReader.Get(ctx, client.ObjectKeyFromObject(object), whole); err != nil {
		return nil, fmt.Errorf("read %T %q: %w", object, object.GetName(), err)
	}
	if whole.GetUID() != object.GetUID() {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: fmt.Sprintf("%T", object)}, object.GetName(), errRecreated)
	}
	return whole, nil
}

// page is how many objects the API server lists at a time. The metadata of each may have
// 256 KiB of annotations.
const page = 100

// EachUncached calls visit with the metadata of each object of the kind that the API server
// has. Whole objects could fill the operator's memory.
func EachUncached(ctx context.Context, apiReader client.Reader, kind schema.GroupVersionKind, visit func(*metav1.PartialObjectMetadata), options ...client.ListOption) error {
	list := &metav1.PartialObjectMetadataList{}
	for more := true; more; more = list.Continue != "" {
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		asked := append([]client.ListOption{client.Limit(page), client.Continue(list.Continue)}, options...)
		if err := apiReader.List(ctx, list, asked...); err != nil {
			return fmt.Errorf("list the %ss: %w", kind.Kind, err)
		}
		for i := range list.Items {
			visit(&list.Items[i])
		}
	}
	return nil
}
