package workspace

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// soon is when to look again after somebody else's write came in between.
const soon = time.Second

// stalledError needs a person. It is looked at again now and then all the same:
// what is in the way may be out of the reconciler's sight.
type stalledError struct {
	finding
	after time.Duration
}

func (e *stalledError) Error() string { return e.message }

// terminal makes a stalledError of what no retry will change.
func terminal(err error) error {
	if !apierrors.IsInvalid(err) {
		return err
	}
	return &stalledError{stall(v1alpha1.ReasonInvalidSpec, "Kubernetes refuses what the spec leads to: "+err.Error()), maxRetry}
}

// waitError is for what is only a matter of time.
type waitError struct{}

func (e *waitError) Error() string { return "not yet" }

// passing errors are no news: somebody else was faster, or the namespace has just
// been deleted.
func passing(err error) bool {
	var wait *waitError
	return errors.As(err, &wait) ||
		apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// settle tells the queue what to do about an error: retry with back-off, or look
// again at a certain time.
func settle(err error) (reconcile.Result, error) {
	var stalled *stalledError
	switch {
	case errors.As(err, &stalled):
		return reconcile.Result{RequeueAfter: stalled.after}, nil
	case passing(err):
		return reconcile.Result{RequeueAfter: soon}, nil
	default:
		return reconcile.Result{}, err
	}
}
