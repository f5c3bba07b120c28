package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// refusal is why the API server did not take an attempt's Job.
type refusal struct {
	reason, message string
	// stalled: somebody has to mend something.
	stalled bool
	// after: try again then.
	after time.Duration
}

const (
	// quotaLook is how often a full quota is tried again.
	quotaLook = 15 * time.Second
	// refusedLook is how often a Job that the API server finds invalid is.
	refusedLook = 5 * time.Minute
)

// refusalOf tells a refusal from an error that is worth trying again at once;
// nil: it is none.
func refusalOf(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &refusal{reason: v1alpha1.ReasonWorkspaceNotReady, message: "the namespace is being deleted", after: quotaLook}
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err):
		return &refusal{
			reason: v1alpha1.ReasonJobRefused, stalled: true, after: refusedLook,
			message: fmt.Sprintf("the API server does not take the attempt's Job; mend what it says in the job or in its Workspace: %v", err),
		}
	case apierrors.IsForbidden(err):
		return &refusal{
			reason: v1alpha1.ReasonPodPending, after: quotaLook,
			message: fmt.Sprintf("the attempt's Job was refused; it is tried again every %s: %v", quotaLook, err),
		}
	default:
		return nil
	}
}

// withdraw takes back the attempt that could not be started.
func withdraw(o observed, d *decision, why refusal) {
	d.status.Attempts = d.status.Attempts[:len(d.status.Attempts)-1]
	d.status.RunAttempts--
	d.start, d.after = nil, why.after
	if why.stalled {
		stall(&d.status, v1alpha1.StateEnqueued, why.reason, why.message, o.now)
		return
	}
	enter(&d.status, v1alpha1.StateEnqueued, why.reason, why.message, o.now)
}

// recordChild writes down the Job that an attempt got.
func recordChild(d *decision, child *batchv1.Job) {
	attempt := &d.status.Attempts[len(d.status.Attempts)-1]
	attempt.JobUID = child.UID
	attempt.CreatedAt = startedOrCreated(child)
}

func foreignMessage(name string) string {
	return fmt.Sprintf("a Job named %q exists already and is not this WorkspaceJob's: have a cluster admin delete it, or create the WorkspaceJob under another name", name)
}
