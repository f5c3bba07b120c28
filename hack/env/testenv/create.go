package testenv

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Create creates an object as a user's client does: it tries again when the API server
// answers with a conflict, as it does when others count against the same ResourceQuota
// at that moment. It gives up after [PollLimit].
func Create(ctx context.Context, c client.Client, object client.Object, options ...client.CreateOption) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		last = c.Create(ctx, object, options...)
		return !apierrors.IsConflict(last), nil
	})
	if err != nil && last == nil {
		return err
	}
	return last
}

// CreateFor is [Create] for one test: it fails the test on an error, and deletes the object
// when the test ends.
func CreateFor(t testing.TB, c client.Client, object client.Object) {
	t.Helper()
	if err := Create(t.Context(), c, object); err != nil {
		t.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() {
		err := c.Delete(context.Background(), object, client.PropagationPolicy("Background"))
		if client.IgnoreNotFound(err) != nil {
			t.Errorf("clean up %T %q: %v", object, object.GetName(), err)
		}
	})
}
