package testenv

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RetryCreate returns a client that creates objects as a user's client should: it tries
// again when the API server answers with a conflict, as it does while others count against
// the same ResourceQuota. It gives up after [PollLimit]. Clients of an [Env] already do so.
func RetryCreate(c client.Client) client.Client { return retrying{c} }

type retrying struct{ client.Client }

func (r retrying) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		last = r.Client.Create(ctx, object, options...)
		return !apierrors.IsConflict(last), nil
	})
	if last != nil {
		return last
	}
	return err
}

// CreateFor creates an object for one test: it fails the test on an error, and deletes the
// object when the test ends.
func CreateFor(t testing.TB, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() { DeleteFor(t, c, object) })
}

// DeleteFor deletes an object, and what it owns, for one test. An object that is already gone is
// not an error.
func DeleteFor(t testing.TB, c client.Client, object client.Object) {
	t.Helper()
	// A test's own context has ended when its clean-up runs.
	err := c.Delete(context.Background(), object, client.PropagationPolicy("Background"))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("delete %T %q: %v", object, object.GetName(), err)
	}
}
