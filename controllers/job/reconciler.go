// Package job runs WorkspaceJobs: each attempt is one batch/v1 Job.
package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacejobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacejobs/status,verbs=patch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacejobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=list;watch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler runs WorkspaceJobs.
type Reconciler struct {
	// Client reads from the manager's cache and writes to the API server.
	Client client.Client
	// APIReader reads from the API server.
	APIReader client.Reader
	// Recorder of events.
	Recorder events.EventRecorder
	// Clock of all decisions.
	Clock clock.PassiveClock
	// Metrics that transitions are counted in.
	Metrics *Metrics
	// Queues decide which attempts may start.
	Queues *admission.Queues
	// Places tells how a job asks for a place in its queue.
	Places *admission.Cluster
	// Limits of waiting.
	Limits Limits

	written *written
}

// Limits of waiting for what may never come.
type Limits struct {
	// Pending is how long an attempt's pod may take to start before the attempt
	// has failed.
	Pending time.Duration
	// Parent is how long after its creation a continuation may wait for a parent
	// that does not exist.
	Parent time.Duration
}

// Reconcile brings one WorkspaceJob a step on.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.step(ctx, req)
	// Whatever happened may have freed a place, or been an event of a pod that did.
	return result, errors.Join(err, r.Queues.Turn(ctx, req.Namespace))
}

func (r *Reconciler) step(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	job := &v1alpha1.WorkspaceJob{}
	err := r.Client.Get(ctx, req.NamespacedName, job)
	if apierrors.IsNotFound(err) || err == nil && !job.DeletionTimestamp.IsZero() {
		r.written.forget(req.NamespacedName)
		left, err := r.leave(ctx, req.Namespace, req.Name, admission.Entry{})
		if left {
			return ctrl.Result{RequeueAfter: placeLook}, err
		}
		return ctrl.Result{}, err
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.written.unseen(job, r.Clock.Now()) {
		// What the cache is about to show brings it back here.
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	o, err := r.observe(ctx, job)
	if err != nil {
		return ctrl.Result{}, err
	}
	d := decide(o)
	if err := r.queue(ctx, o, &d); err != nil {
		return quiet(err)
	}
	if err := r.act(ctx, o, &d); err != nil {
		return quiet(err)
	}
	if err := r.report(ctx, o, d.status); err != nil {
		return quiet(err)
	}
	if d.remove {
		// Only as it was seen: it may have been requeued since.
		seen := client.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion}
		return quiet(client.IgnoreNotFound(r.Client.Delete(ctx, job, seen)))
	}
	return ctrl.Result{RequeueAfter: d.after}, nil
}

// report writes the status if it changed; events and metrics follow only then.
func (r *Reconciler) report(ctx context.Context, o observed, status v1alpha1.WorkspaceJobStatus) error {
	if equality.Semantic.DeepEqual(o.job.Status, status) {
		return nil
	}
	before := o.job.DeepCopy()
	patched := o.job.DeepCopy()
	patched.Status = status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, patched, patch, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
		if apierrors.IsInvalid(err) {
			return reconcile.TerminalError(fmt.Errorf("write the status: %w", err))
		}
		return fmt.Errorf("write the status: %w", err)
	}
	r.written.note(patched, r.Clock.Now())
	r.tell(patched, &before.Status)
	r.Metrics.count(o.workspace, measuresOf(o.job, &before.Status, &status))
	return nil
}

func (r *Reconciler) tell(job *v1alpha1.WorkspaceJob, before *v1alpha1.WorkspaceJobStatus) {
	for _, e := range eventsOf(before, &job.Status) {
		if e.attempt == "" {
			r.Recorder.Eventf(job, nil, e.kind, e.reason, "Reconcile", "%s", conditions.Clip(e.note, conditions.MaxNote))
			continue
		}
		related := &batchv1.Job{
			TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
			ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: e.attempt},
		}
		r.Recorder.Eventf(job, related, e.kind, e.reason, "Reconcile", "%s", conditions.Clip(e.note, conditions.MaxNote))
	}
}

// quiet: the object has changed or gone since it was read; the change itself
// brings it back here.
func quiet(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	return ctrl.Result{}, err
}
