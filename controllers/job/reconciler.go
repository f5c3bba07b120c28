// Package job runs WorkspaceJobs: each attempt is one batch/v1 Job.
//
// Read the files in this order: reconciler.go is the table of contents, watch.go lists what
// triggers a reconcile, observe.go reads, decide.go and the policies next to it (attend, due,
// parents, queue, retention, retry) are pure, act.go writes.
package job

import (
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
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

// Reconciler runs WorkspaceJobs. Use [New] to create one.
type Reconciler struct {
	Options

	// turns are the jobs whose turn in their queue has come.
	turns chan event.TypedGenericEvent[types.NamespacedName]
}

// Options configures a [Reconciler]. All fields are required.
type Options struct {
	// Client reads from the manager's cache and writes to the API server.
	Client client.Client
	// APIReader reads from the API server.
	APIReader client.Reader
	// Reporter writes statuses and events.
	Reporter *report.Reporter
	// Clock tells the time of all decisions.
	Clock clock.PassiveClock
	// Metrics count transitions.
	Metrics *Metrics
	// Queues decide which attempts may start.
	Queues *admission.Queues
	// Limits on how long to wait.
	Limits Limits
	// Fence says how the attempts' pods wait for their isolation.
	Fence runnerjob.Fence
}

// Limits bounds how long the operator waits for what may never come.
type Limits struct {
	// Pending is how long an attempt's pod may take to start before the attempt has
	// failed.
	Pending time.Duration
	// Parent is how long after its creation a continuation may wait for a parent that
	// does not exist.
	Parent time.Duration
}

// New returns a Reconciler.
func New(options Options) *Reconciler {
	return &Reconciler{Options: options, turns: make(chan event.TypedGenericEvent[types.NamespacedName], turnsBuffer)}
}

// turnsBuffer is how many jobs can be called before the controller receives them.
const turnsBuffer = 1024

// maxRounds bounds how often one reconcile decides and acts. Each round adds at least one
// fact: a stop, a deletion, the queue's answer, a Job or its refusal, or where the job
// is in the queue after that.
const maxRounds = 8

// Reconcile brings one WorkspaceJob a step further.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, req.NamespacedName)
	// Whatever triggered this reconcile, or came of it, may have freed a slot.
	return result, errors.Join(err, r.callTurns(ctx, req.Namespace))
}

func (r *Reconciler) reconcile(ctx context.Context, name types.NamespacedName) (ctrl.Result, error) {
	job := &v1alpha1.WorkspaceJob{}
	err := r.Client.Get(ctx, name, job)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, err
	case err != nil:
		return r.gone(ctx, name)
	case !job.DeletionTimestamp.IsZero():
		return r.terminate(ctx, job)
	case r.Reporter.Behind(job):
		// The watch event that the cache still lacks triggers another reconcile.
		return ctrl.Result{RequeueAfter: report.Soon}, nil
	}
	o, err := r.observe(ctx, job)
	if err == nil && job.Status.State.Final() && !rests(o) {
		// The cache holds only a part of a finished job.
		if job, err = cached.Uncached(ctx, r.APIReader, job); err == nil {
			o, err = r.observe(ctx, job)
		}
	}
	if err != nil {
		return report.Result(err)
	}
	d := r.carryOut(ctx, &o)
	// What is known is reported even if something failed.
	if reported := r.report(ctx, o, d); o.failed != nil || reported != nil {
		return report.Result(o.failed, reported)
	}
	if d.remove {
		return report.Result(r.remove(ctx, job))
	}
	return ctrl.Result{RequeueAfter: d.after}, nil
}

// carryOut decides and acts until nothing is left to do. The answers of the queue and the
// API server are facts for the next decision, and so is an error: after one, a decision only
// reports what is known.
func (r *Reconciler) carryOut(ctx context.Context, o *observed) decision {
	for range maxRounds {
		d := decide(*o)
		logDecision(ctx, *o, d)
		if !d.acts(*o) {
			return d
		}
		o.failed = r.act(ctx, o, d)
	}
	o.failed = report.ErrTooManyRounds
	d := decide(*o)
	logDecision(ctx, *o, d)
	return d
}

// rests reports whether a finished job needs nothing but removal.
func rests(o observed) bool {
	d := decide(o)
	return d.stop == nil && d.start == nil && len(d.reap) == 0 && equality.Semantic.DeepEqual(o.job.Status, d.status)
}

// report writes the status if it changed, then events and metrics.
func (r *Reconciler) report(ctx context.Context, o observed, d decision) error {
	return r.Reporter.Report(ctx, &o.job.Status, &d.status, func() report.Change {
		after := o.job.DeepCopy()
		after.Status = d.status
		return report.Change{
			Before: o.job, After: after,
			Events: eventsOf(o.job.Namespace, &o.job.Status, &d.status),
			Count:  func() { r.Metrics.count(o.workspace, measuresOf(o.job, &o.job.Status, &d.status)) },
		}
	})
}

// remove deletes a job whose retention has passed, unless it has changed since it was read:
// it may have been requeued.
func (r *Reconciler) remove(ctx context.Context, job *v1alpha1.WorkspaceJob) error {
	seen := client.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion}
	return r.Client.Delete(ctx, job, seen)
}

// terminate deletes the Jobs of a job that is being deleted, and then treats it as gone. The
// garbage collector deletes them only once the job has no finalizer left, and somebody else's
// may keep it for a long time. With --cascade=orphan the user asked to keep them.
func (r *Reconciler) terminate(ctx context.Context, job *v1alpha1.WorkspaceJob) (ctrl.Result, error) {
	if !slices.Contains(job.Finalizers, metav1.FinalizerOrphanDependents) {
		owned, err := r.ownedBy(ctx, job)
		if err != nil {
			return ctrl.Result{}, err
		}
		left := slices.DeleteFunc(owned, func(child batchv1.Job) bool { return !child.DeletionTimestamp.IsZero() })
		if err := r.deleteJobs(ctx, &observed{}, left); err != nil {
			return ctrl.Result{}, err
		}
	}
	return r.gone(ctx, client.ObjectKeyFromObject(job))
}

// gone forgets a job that is deleted or being deleted, and takes it out of its queue.
func (r *Reconciler) gone(ctx context.Context, name types.NamespacedName) (ctrl.Result, error) {
	r.Reporter.Forget(name)
	left, err := r.Queues.Leave(ctx, name.Namespace, name.Name)
	if left {
		return ctrl.Result{RequeueAfter: slotRetry}, err
	}
	return ctrl.Result{}, err
}

// callTurns triggers a reconcile of each job whose turn has come.
func (r *Reconciler) callTurns(ctx context.Context, namespace string) error {
	names, err := r.Queues.Turn(ctx, namespace)
	for _, name := range names {
		select {
		case r.turns <- event.TypedGenericEvent[types.NamespacedName]{Object: types.NamespacedName{Namespace: namespace, Name: name}}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// logDecision logs the story of a job, for --log-level=DEBUG.
func logDecision(ctx context.Context, o observed, d decision) {
	log := ctrl.LoggerFrom(ctx).V(1)
	if !log.Enabled() {
		return
	}
	log.Info("decided", "state", d.status.State, "reason", report.Reason(d.status.Conditions), "does", d.does(o), "after", d.after.String(), "failed", o.failed)
}
