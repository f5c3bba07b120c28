// Package recurring keeps the schedules of WorkspaceRecurringJobs: each is a
// CronJob, and each Job that the CronJob makes, a tick, becomes a WorkspaceJob.
package recurring

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
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs/status,verbs=patch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacejobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps WorkspaceRecurringJobs.
type Reconciler struct {
	// Client reads from the manager's cache and writes to the API server.
	Client client.Client
	// APIReader reads from the API server.
	APIReader client.Reader
	// Recorder of events.
	Recorder events.EventRecorder
	// Clock of all decisions.
	Clock clock.PassiveClock
	// Metrics that missed and skipped runs are counted in.
	Metrics *Metrics
}

// Reconcile brings one WorkspaceRecurringJob a step on.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	recurring := &v1alpha1.WorkspaceRecurringJob{}
	if err := r.Client.Get(ctx, request.NamespacedName, recurring); err != nil || !recurring.DeletionTimestamp.IsZero() {
		// Garbage collection follows the owner references.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	o, err := r.observe(ctx, recurring)
	if err != nil {
		return reconcile.Result{}, err
	}
	d := decide(o)
	if o.refusals, err = r.act(ctx, d); err != nil {
		return quiet(err)
	}
	if o.refusals != nil {
		// The status tells of it, and no run counts that was not made.
		d = decide(o)
	}
	if err := r.report(ctx, o, d); err != nil {
		return quiet(err)
	}
	if err := r.remove(ctx, d); err != nil {
		return quiet(err)
	}
	return reconcile.Result{RequeueAfter: d.after}, nil
}

// act applies the CronJob and makes the WorkspaceJobs of runs that are due. What
// the API server refuses for good is not an error, but told.
func (r *Reconciler) act(ctx context.Context, d decision) (refusals map[string]refusal, err error) {
	if d.apply != nil {
		if err := r.apply(ctx, d.apply); err != nil {
			why := refusalOf(err)
			if why == nil {
				return nil, fmt.Errorf("apply CronJob %q: %w", d.apply.Name, err)
			}
			return map[string]refusal{theCronJob: *why}, nil
		}
	}
	if d.halt != nil {
		if err := r.halt(ctx, d.halt); err != nil {
			return nil, err
		}
	}
	for i := range d.adopt {
		run := &d.adopt[i]
		err := r.Client.Create(ctx, run, client.FieldOwner(v1alpha1.ManagedBy))
		if apierrors.IsAlreadyExists(err) {
			err = r.takeUp(ctx, run)
		}
		if why := refusalOf(err); why != nil {
			return map[string]refusal{run.Name: *why}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("create WorkspaceJob %q: %w", run.Name, err)
		}
	}
	return nil, nil
}

// apply the CronJob: only the one that was seen, or a new one.
func (r *Reconciler) apply(ctx context.Context, cronJob *batchv1.CronJob) error {
	config, err := applyConfiguration(cronJob)
	if err != nil {
		return err
	}
	options := []client.ApplyOption{client.FieldOwner(v1alpha1.ManagedBy)}
	if cronJob.UID != "" {
		// Somebody else's that has come meanwhile would be a conflict.
		options = append(options, client.ForceOwnership)
	}
	return r.Client.Apply(ctx, config, options...)
}

// halt a schedule that has no workspace to run in.
func (r *Reconciler) halt(ctx context.Context, cronJob *batchv1.CronJob) error {
	changed := cronJob.DeepCopy()
	changed.Spec.Suspend = new(true)
	patch := client.MergeFromWithOptions(cronJob, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
		return fmt.Errorf("suspend CronJob %q: %w", cronJob.Name, err)
	}
	return nil
}

// takeUp a WorkspaceJob that exists already: made before a crash, or not in the
// cache yet.
func (r *Reconciler) takeUp(ctx context.Context, run *v1alpha1.WorkspaceJob) error {
	found := &v1alpha1.WorkspaceJob{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(run), found); err != nil {
		return err
	}
	if controller := metav1.GetControllerOf(found); controller == nil || controller.UID != run.OwnerReferences[0].UID {
		return errTaken
	}
	return nil
}

// errTaken: somebody else's object has the name.
var errTaken = errors.New("the name is taken")

// report writes the status if it changed; events and metrics follow only then.
func (r *Reconciler) report(ctx context.Context, o observed, d decision) error {
	if equality.Semantic.DeepEqual(o.recurring.Status, d.status) {
		return nil
	}
	patched := o.recurring.DeepCopy()
	patched.Status = d.status
	patch := client.MergeFromWithOptions(o.recurring, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, patched, patch, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
		if apierrors.IsInvalid(err) {
			return reconcile.TerminalError(fmt.Errorf("write the status: %w", err))
		}
		return fmt.Errorf("write the status: %w", err)
	}
	for _, e := range eventsOf(&o.recurring.Status, d) {
		r.Recorder.Eventf(patched, nil, e.kind, e.reason, "Reconcile", "%s", e.note)
	}
	r.Metrics.count(o.workspace, d.status.MissedRuns-o.recurring.Status.MissedRuns, d.status.SkippedRuns-o.recurring.Status.SkippedRuns)
	return nil
}

// remove what the status that is written now no longer needs, exactly as it was
// seen: a finished run may have been requeued since.
func (r *Reconciler) remove(ctx context.Context, d decision) error {
	var faults []error
	for i := range d.removeRuns {
		run := &d.removeRuns[i]
		err := r.Client.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			faults = append(faults, fmt.Errorf("delete WorkspaceJob %q: %w", run.Name, err))
		}
	}
	for i := range d.removeTicks {
		if err := r.removeTick(ctx, &d.removeTicks[i]); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// removeTick deletes a Job that no run needs. The cache may not have its run yet, and
// that may just have started it.
func (r *Reconciler) removeTick(ctx context.Context, tick *batchv1.Job) error {
	run := &v1alpha1.WorkspaceJob{}
	err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(tick), run)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read WorkspaceJob %q: %w", tick.Name, err)
	}
	if _, scheduled := run.ScheduledAt(); err == nil && scheduled && run.Series() == tick.Labels[v1alpha1.LabelRecurringJob] {
		return nil
	}
	seen := client.Preconditions{UID: &tick.UID, ResourceVersion: &tick.ResourceVersion}
	err = r.Client.Delete(ctx, tick, seen, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Job %q: %w", tick.Name, err)
	}
	return nil
}

// quiet: the object has changed or gone since it was read; the change itself
// brings it back here.
func quiet(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: time.Second}, nil
	}
	return reconcile.Result{}, err
}
