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
	"k8s.io/apimachinery/pkg/runtime"
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
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=list;watch
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
		return quiet(err)
	}
	d := decide(o)
	for d.acts() {
		if err := r.act(ctx, &o, d); err != nil {
			return quiet(err)
		}
		// What the API server has answered is observed too: the status tells of it,
		// and no run counts that was not made.
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

// act writes the CronJob, or else makes the WorkspaceJobs of runs that are due, and
// adds to o what came of it. What the API server refuses for good is not an error.
func (r *Reconciler) act(ctx context.Context, o *observed, d decision) error {
	if d.apply != nil || d.halt != nil {
		return r.keep(ctx, o, d)
	}
	for i := range d.adopt {
		run := &d.adopt[i]
		err := r.Client.Create(ctx, run, client.FieldOwner(v1alpha1.ManagedBy))
		if apierrors.IsAlreadyExists(err) {
			err = r.takeUp(ctx, run)
		}
		if why := refusalOf(err); why != nil {
			o.refuse(run.Name, *why)
			return nil
		}
		if err != nil {
			return fmt.Errorf("create WorkspaceJob %q: %w", run.Name, err)
		}
		o.runs = append(o.runs, *run)
	}
	return nil
}

// keep the schedule: apply the CronJob or halt it.
func (r *Reconciler) keep(ctx context.Context, o *observed, d decision) error {
	cronJob, err := r.write(ctx, d)
	why := refusalOf(err)
	switch {
	case why != nil:
		// Halting is the last resort: nothing more can be done at this look.
		o.written = d.halt != nil
		o.refuse(theCronJob, *why)
		return nil
	case err != nil:
		return err
	}
	o.written, o.cronJob = true, cronJob
	return nil
}

func (r *Reconciler) write(ctx context.Context, d decision) (*batchv1.CronJob, error) {
	if d.apply != nil {
		return r.apply(ctx, d.apply)
	}
	return r.halt(ctx, d.halt)
}

// apply the CronJob: only the one that was seen, or a new one.
func (r *Reconciler) apply(ctx context.Context, cronJob *batchv1.CronJob) (*batchv1.CronJob, error) {
	config, err := configOf(cronJob)
	if err != nil {
		return nil, err
	}
	options := []client.ApplyOption{client.FieldOwner(v1alpha1.ManagedBy)}
	if cronJob.UID != "" {
		// Somebody else's that has come meanwhile would be a conflict.
		options = append(options, client.ForceOwnership)
	}
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(config), options...); err != nil {
		return nil, fmt.Errorf("apply CronJob %q: %w", cronJob.Name, err)
	}
	live := &batchv1.CronJob{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(config.Object, live); err != nil {
		return nil, fmt.Errorf("read CronJob %q: %w", cronJob.Name, err)
	}
	return live, nil
}

// halt a schedule that must not go on, or has nowhere to run.
func (r *Reconciler) halt(ctx context.Context, cronJob *batchv1.CronJob) (*batchv1.CronJob, error) {
	changed := cronJob.DeepCopy()
	changed.Spec.Suspend = new(true)
	patch := client.MergeFromWithOptions(cronJob, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
		return nil, fmt.Errorf("suspend CronJob %q: %w", cronJob.Name, err)
	}
	return changed, nil
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
	*run = unheard(*found)
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
// seen: a finished run may have been requeued since, a tick started.
func (r *Reconciler) remove(ctx context.Context, d decision) error {
	var faults []error
	for i := range d.removeRuns {
		run := &d.removeRuns[i]
		err := r.Client.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			faults = append(faults, fmt.Errorf("delete WorkspaceJob %q: %w", run.Name, err))
		}
	}
	for i := range d.removeTicks {
		tick := &d.removeTicks[i]
		seen := client.Preconditions{UID: &tick.UID}
		if waiting(tick) {
			seen.ResourceVersion = &tick.ResourceVersion
		}
		err := r.Client.Delete(ctx, tick, seen, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			faults = append(faults, fmt.Errorf("delete Job %q: %w", tick.Name, err))
		}
	}
	return errors.Join(faults...)
}

// quiet: the object has changed or gone since it was read; the change itself
// brings it back here.
func quiet(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: time.Second}, nil
	}
	return reconcile.Result{}, err
}
