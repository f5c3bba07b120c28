package report

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// Soon is when an object is reconciled again after somebody else's write came in
	// between.
	Soon = time.Second
	// quotaRetry is how often a write that a quota or a policy forbids is tried again.
	quotaRetry = 15 * time.Second
	// invalidRetry is how often a write that the API server finds invalid is.
	invalidRetry = 5 * time.Minute
	// nameTakenRetry is how often a name that another object holds is. The cache does
	// not show that object, so its end wakes nobody.
	nameTakenRetry = time.Minute
)

// Result sorts an error of a reconcile: a conflict, or an object that has just gone, is
// only a matter of time; everything else is retried with back-off.
func Result(err error) (reconcile.Result, error) {
	if Passing(err) {
		return reconcile.Result{RequeueAfter: Soon}, nil
	}
	return reconcile.Result{}, err
}

// Passing reports whether an error needs no attention: somebody else was faster, or the
// object or its namespace has just been deleted.
func Passing(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Refusal is the API server's answer to a write that it would give again if the write
// were sent again at once.
type Refusal struct {
	// Kind says why.
	Kind RefusalKind
	// Message is the API server's.
	Message string
}

// RefusalKind is why the API server refuses a write.
type RefusalKind int

const (
	// Forbidden means by a quota or an admission policy.
	Forbidden RefusalKind = iota
	// Invalid means that the object breaks a rule of its schema, or is too large.
	Invalid
	// NameTaken means that another owner's object has the name.
	NameTaken
	// NamespaceTerminating means that the namespace is being deleted.
	NamespaceTerminating
)

// RefusalOf returns the refusal that err is, or nil if it is none: it is nil, or worth a
// retry with back-off.
func RefusalOf(err error) *Refusal {
	switch {
	case err == nil:
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &Refusal{NamespaceTerminating, err.Error()}
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err):
		return &Refusal{Invalid, err.Error()}
	case apierrors.IsForbidden(err):
		return &Refusal{Forbidden, err.Error()}
	default:
		return nil
	}
}

// Stalled reports whether a person has to change something.
func (r Refusal) Stalled() bool { return r.Kind == Invalid || r.Kind == NameTaken }

// RetryAfter is when the write is worth trying again.
func (r Refusal) RetryAfter() time.Duration {
	switch r.Kind {
	case Invalid:
		return invalidRetry
	case NameTaken:
		return nameTakenRetry
	default:
		return quotaRetry
	}
}
