// Package workspace gives each Workspace what a tenant needs: an isolated namespace, rights
// for its members, and a migrated ledger in its database.
//
// Read the files in this order: reconciler.go is the table of contents, watch.go lists what
// triggers a reconcile, observe.go reads, decide.go and the policies next to it (namespace,
// children, migration) are pure, act.go writes. counts.go is a second, small reconciler.
package workspace

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=list;watch;patch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces/status,verbs=patch
// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=namespaces;serviceaccounts;limitranges,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,verbs=bind,resourceNames=workspace-jobs-viewer;workspace-jobs-editor;workspace-jobs-admin
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler reconciles Workspaces. Use [New] to create one.
type Reconciler struct{ Options }

// Options configures a [Reconciler]. All fields are required.
type Options struct {
	// Client reads from the manager's cache and writes to the API server.
	Client client.Client
	// APIReader reads from the API server what the cache leaves out.
	APIReader client.Reader
	// Reporter writes statuses and events.
	Reporter *report.Reporter
	// Clock tells the time of all decisions.
	Clock clock.PassiveClock
	// Fence says how the pods of migrations wait for their isolation.
	Fence runnerjob.Fence
}

// New returns a Reconciler.
func New(options Options) *Reconciler { return &Reconciler{options} }

// Reconcile brings one Workspace closer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ws := &v1alpha1.Workspace{}
	err := r.Client.Get(ctx, request.NamespacedName, ws)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return reconcile.Result{}, err
	case apierrors.IsNotFound(err):
		// Garbage collection follows the owner references; the rest stays.
		r.Reporter.Forget(request.NamespacedName)
		return reconcile.Result{}, nil
	case !ws.DeletionTimestamp.IsZero():
		after, err := r.teardown(ctx, ws)
		if err != nil {
			return report.Result(err)
		}
		return reconcile.Result{RequeueAfter: after}, nil
	case r.Reporter.Behind(ws):
		return reconcile.Result{RequeueAfter: report.Soon}, nil
	}
	if err := r.keep(ctx, ws); err != nil {
		return report.Result(err)
	}
	o := r.observe(ctx, ws)
	d := carryOut(ctx, &o, r.act)
	for key, refusal := range o.refused {
		// A policy or a missing right that keeps a tenant from being set up is the platform's
		// to fix, so it is logged each time, as an error is.
		ctrl.LoggerFrom(ctx).Info("the API server refused a write", "object", key, "message", refusal.Message)
	}
	// What is known is reported even if something failed.
	reported := r.Reporter.Report(ctx, &ws.Status, &d.status, func() report.Change { return changeOf(ws, d.status) })
	if o.failed != nil || reported != nil {
		return report.Result(o.failed, reported)
	}
	return reconcile.Result{RequeueAfter: d.after}, nil
}

// maxRounds bounds how often one reconcile decides and acts. Each round adds at least one
// fact: the namespace, its children, those that had to be deleted first, a migration, or
// that an earlier one is gone.
const maxRounds = 8

// carryOut decides and acts until nothing is left to do. The API server's answer is a fact
// for the next decision, and so is an error: after one, a decision only reports what is
// known.
func carryOut(ctx context.Context, o *observed, act func(context.Context, *observed, decision) error) decision {
	for range maxRounds {
		d := decide(*o)
		logDecision(ctx, d)
		if !d.acts() {
			return d
		}
		o.failed = act(ctx, o, d)
	}
	o.failed = report.ErrTooManyRounds
	return decide(*o)
}

// logDecision logs each decision without messages, which a runner or the API server may have
// written.
func logDecision(ctx context.Context, d decision) {
	log := ctrl.LoggerFrom(ctx).V(1)
	if !log.Enabled() {
		return
	}
	log.Info("decided", "phase", d.ready.Phase.String(), "reason", d.ready.Reason, "does", d.does())
}
