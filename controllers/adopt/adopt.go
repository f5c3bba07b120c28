// Package adopt creates objects under fixed names, so that a crash between two writes
// never makes a second one.
package adopt

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// Answer is the outcome of [Create]: the object, a foreign one, or a refusal.
type Answer[T client.Object] struct {
	// Object is the API server's version of the object, which was created now, or existed
	// and is the caller's.
	Object T
	// Foreign is another owner's object with the name.
	Foreign T
	// Refusal is nil unless the API server refused the object.
	Refusal *report.Refusal
}

// Create creates object with writer. If an object of that name exists, Create reads it with
// apiReader, which must not be a cache. owns reports whether it is the caller's, and must
// decide that by UID, never by name. An error is worth a retry.
func Create[T any, P interface {
	*T
	client.Object
}](ctx context.Context, writer client.Writer, apiReader client.Reader, object P, owns func(P) bool) (Answer[P], error) {
	key := client.ObjectKeyFromObject(object)
	err := writer.Create(ctx, object, client.FieldOwner(v1alpha1.ManagedBy))
	switch refusal := report.RefusalOf(err); {
	case err == nil:
		return Answer[P]{Object: object}, nil
	case refusal != nil:
		return Answer[P]{Refusal: refusal}, nil
	case !apierrors.IsAlreadyExists(err):
		return Answer[P]{}, fmt.Errorf("create %T %q: %w", object, key.Name, err)
	}
	holder := P(new(T))
	if err := apiReader.Get(ctx, key, holder); err != nil {
		return Answer[P]{}, fmt.Errorf("read %T %q: %w", object, key.Name, err)
	}
	if owns(holder) {
		return Answer[P]{Object: holder}, nil
	}
	return Answer[P]{Foreign: holder}, nil
}
