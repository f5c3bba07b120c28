// Package recurring keeps the schedules of WorkspaceRecurringJobs: each is a
// CronJob, and each Job that the CronJob creates, a tick, becomes a WorkspaceJob.
//
// Read the files in this order: reconciler.go is the table of contents, watch.go lists what
// triggers a reconcile, observe.go reads. decide.go is pure, and so are the files whose parts
// it calls: plan.go and cronjob.go say which CronJob is wanted; occurrences.go matches ticks
// with runs and says which runs are due, with missed.go; accounting.go counts how runs ended;
// retention.go trims the history; status.go sets the conditions. doubts.go finds what must be
// asked of the API server first, and verify.go asks. act.go writes.
package recurring

import (
	"context"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs/status,verbs=patch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacerecurringjobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspacejobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=list;watch
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// maxRounds bounds how often one reconcile decides and acts. A reconcile seldom needs more
// than eight rounds: verify the recurring job, its ticks, the runs in doubt and all runs; apply the
// CronJob and, if that is refused, suspend it; create the runs that are due and, if other
// owners have some of their names, the runs that there is room for then.
const maxRounds = 10

// Reconciler keeps WorkspaceRecurringJobs.
type Reconciler struct{ Options }

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
	// Metrics count missed and skipped runs.
	Metrics *Metrics
	// Fence says how the ticks' pods wait for their isolation.
	Fence runnerjob.Fence
}

// New returns a Reconciler.
func New(options Options) *Reconciler { return &Reconciler{options} }

// Reconcile brings one WorkspaceRecurringJob closer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	recurring := &v1alpha1.WorkspaceRecurringJob{}
	err := r.Client.Get(ctx, request.NamespacedName, recurring)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return reconcile.Result{}, err
	case err != nil || !recurring.DeletionTimestamp.IsZero():
		// Garbage collection follows the owner references.
		r.Reporter.Forget(request.NamespacedName)
		return reconcile.Result{}, nil
	case r.Reporter.Behind(recurring):
		// The watch event that the cache still lacks triggers another reconcile.
		return reconcile.Result{RequeueAfter: report.Soon}, nil
	}
	o, err := r.observe(ctx, recurring)
	if err != nil {
		return report.Result(err)
	}
	d := r.carryOut(ctx, &o)
	// What is known is reported even if something failed.
	if reported := r.report(ctx, o, d); o.failed != nil || reported != nil {
		return report.Result(o.failed, reported)
	}
	if faults := r.remove(ctx, d); len(faults) > 0 {
		return report.Result(faults...)
	}
	return reconcile.Result{RequeueAfter: d.after}, nil
}

// carryOut decides and acts until nothing is left to do. The API server's answer is a fact
// for the next decision, and so is an error: after one, a decision only reports what is
// known.
func (r *Reconciler) carryOut(ctx context.Context, o *observed) decision {
	for range maxRounds {
		d := decide(*o)
		logDecision(ctx, d)
		if !d.acts() {
			return d
		}
		o.failed = r.act(ctx, o, d)
	}
	o.failed = report.ErrTooManyRounds
	return decide(*o)
}

// report writes the status if it changed, then events and metrics.
func (r *Reconciler) report(ctx context.Context, o observed, d decision) error {
	return r.Reporter.Report(ctx, &o.recurring.Status, &d.status, func() report.Change {
		after := o.recurring.DeepCopy()
		after.Status = d.status
		return report.Change{
			Before: o.recurring, After: after,
			Events: eventsOf(&o.recurring.Status, d),
			Count:  func() { r.Metrics.count(o.workspace, &o.recurring.Status, &d.status) },
		}
	})
}

// logDecision logs each decision, so that --log-level=DEBUG shows a recurring job's story.
func logDecision(ctx context.Context, d decision) {
	log := ctrl.LoggerFrom(ctx).V(1)
	if !log.Enabled() {
		return
	}
	log.Info("decided", "reason", report.Reason(d.status.Conditions), "does", d.does(), "after", d.after.String())
}
