package recurring

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// quotaLook is how often a full quota is tried again.
	quotaLook = 15 * time.Second
	// refusedLook is how often an object that the API server finds invalid is.
	refusedLook = 5 * time.Minute
)

// refusal is why the API server did not take an object.
type refusal struct {
	message string
	// taken: somebody else's object has the name.
	taken bool
	// stalled: somebody has to mend something.
	stalled bool
	// after: try again then.
	after time.Duration
}

// refuse adds one to what was observed.
func (o *observed) refuse(name string, why refusal) {
	if o.refusals == nil {
		o.refusals = map[string]refusal{}
	}
	o.refusals[name] = why
}

// refusalOf tells a refusal from an error that is worth trying again at once; nil:
// it is none.
func refusalOf(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTaken):
		return &refusal{message: err.Error(), taken: true}
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err):
		return &refusal{message: err.Error(), stalled: true, after: refusedLook}
	case apierrors.IsForbidden(err):
		return &refusal{message: err.Error(), after: quotaLook}
	default:
		return nil
	}
}
