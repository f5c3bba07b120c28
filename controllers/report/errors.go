package report

import (
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// Soon is when an object is reconciled again after a conflict with another write.
	Soon = time.Second
	// quotaRetry is how often a write that a quota or a policy forbids is tried again.
	quotaRetry = 15 * time.Second
	// invalidRetry is how often a write that the API server finds invalid is tried again.
	invalidRetry = 5 * time.Minute
	// NameTakenRetry is how often a name that another owner's object has is tried again.
	// The cache may not hold that object, so no watch reports its deletion.
	NameTakenRetry = time.Minute
)

// ErrTooManyRounds is returned when a reconcile has decided and acted as often as it may and
// something is left to do. What was done is reported, so the retry has less to do.
var ErrTooManyRounds = errors.New("something is left to do after the last round, and is tried again")

// Result returns what a reconcile that ended with these errors returns. It ignores nil.
// Passing errors lead to another reconcile soon; any others are returned, and retried with
// back-off.
func Result(errs ...error) (reconcile.Result, error) {
	passing := false
	var lasting []error
	for _, err := range errs {
		switch {
		case err == nil:
		case Passing(err):
			passing = true
		default:
			lasting = append(lasting, err)
		}
	}
	if passing && len(lasting) == 0 {
		return reconcile.Result{RequeueAfter: Soon}, nil
	}
	return reconcile.Result{}, errors.Join(lasting...)
}

// Passing reports whether an error needs no attention: another write came first, or the
// object or its namespace has just been deleted, or another object has its name by now.
func Passing(err error) bool {
	return apierrors.IsConflict(err) || replaced(err) || apierrors.IsNotFound(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Refusal is an answer of the API server that an immediate retry of the write would get
// again.
type Refusal struct {
	// Kind says why.
	Kind RefusalKind
	// Message is the API server's message.
	Message string
}

// RefusalKind is why the API server refuses a write.
type RefusalKind int

const (
	// Forbidden means that a quota or an admission policy forbids the write.
	Forbidden RefusalKind = iota
	// Invalid means that the object breaks a rule of its schema, or is too large.
	Invalid
	// NameTaken means that another owner's object has the name.
	NameTaken
	// NamespaceTerminating means that the namespace is being deleted.
	NamespaceTerminating
)

// RefusalOf returns err as a refusal, or nil if err is nil or another error.
func RefusalOf(err error) *Refusal {
	switch {
	case err == nil, replaced(err):
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

// replaced reports whether the API server refused to apply a configuration with a UID, since
// an object with another UID has the name by now. It calls that invalid.
func replaced(err error) bool {
	var answer apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &answer) || answer.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(answer.Status().Details.Causes, func(cause metav1.StatusCause) bool { return cause.Field == "metadata.uid" })
}

// OverQuota reports whether a quota of the namespace is used up, so that the API server
// refuses other objects of the kind too.
func (r Refusal) OverQuota() bool {
	return r.Kind == Forbidden && strings.Contains(r.Message, "exceeded quota")
}

// Stalled reports whether a person has to change something.
func (r Refusal) Stalled() bool { return r.Kind == Invalid || r.Kind == NameTaken }

// RetryAfter returns how long to wait until the write is worth another try.
func (r Refusal) RetryAfter() time.Duration {
	switch r.Kind {
	case Invalid:
		return invalidRetry
	case NameTaken:
		return NameTakenRetry
	default:
		return quotaRetry
	}
}
