// Package report is how the reconcilers report: conditions, the one status patch, then
// events, then metrics. It also classifies the errors and refusals of the API server.
package report

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Event is an event about an object, as kubectl describe shows it.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is one of the constants in api/v1alpha1.
	Reason string
	// Note is for a person. It is clipped to [MaxNote].
	Note string
	// Related is another object that the event is about, or nil. Events that differ
	// only in it are not folded into one.
	Related runtime.Object
}

// Change is what a reconcile has to report about an object.
type Change struct {
	// Before is the object as it was read.
	Before client.Object
	// After is the same object with its new status. Report updates it to the API server's
	// answer.
	After client.Object
	// Events are recorded once the status is written.
	Events []Event
	// Count counts the change in metrics once the status is written. It may be nil.
	Count func()
}

// Reporter writes statuses and remembers which of them the cache does not show yet.
type Reporter struct {
	client   client.Client
	recorder events.EventRecorder
	written  written
}

// New returns a Reporter that writes with c and records with recorder.
func New(c client.Client, recorder events.EventRecorder, clock clock.PassiveClock) *Reporter {
	return &Reporter{client: c, recorder: recorder, written: written{clock: clock}}
}

// Report patches the status if what it was and what it is differ, and only then records
// events and counts. The change is asked for only then: most reconciles change nothing. The
// patch is refused as a conflict if somebody wrote the object since it was read. A status
// that the API server finds invalid is a terminal error.
func (r *Reporter) Report(ctx context.Context, was, is any, change func() Change) error {
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	c := change()
	patch := client.MergeFromWithOptions(c.Before, client.MergeFromWithOptimisticLock{})
	err := r.client.Status().Patch(ctx, c.After, patch, client.FieldOwner(v1alpha1.ManagedBy))
	if apierrors.IsInvalid(err) {
		return reconcile.TerminalError(fmt.Errorf("write the status: %w", err))
	}
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	r.written.note(c.After)
	for _, e := range c.Events {
		r.recorder.Eventf(c.After, e.Related, e.Type, e.Reason, "Reconcile", "%s", Clip(e.Note, MaxNote))
	}
	if c.Count != nil {
		c.Count()
	}
	return nil
}

// Behind reports whether the object, as read from the cache, is older than the status that
// was last written. A status decided from it would be refused as a conflict. After five
// seconds the cache is trusted again.
func (r *Reporter) Behind(object client.Object) bool { return r.written.unseen(object) }

// Forget removes what was remembered about an object that is gone.
func (r *Reporter) Forget(name client.ObjectKey) { r.written.forget(name) }
