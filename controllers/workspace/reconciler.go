// Package workspace gives each Workspace what a tenant needs: a namespace, fenced
// in, with rights for its members, and a migrated ledger in its database.
package workspace

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// +kubebuilder:rbac:groups=jobs.openradius.io,resources=workspaces,verbs=list;watch
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

// Reconciler keeps Workspaces as they should be.
type Reconciler struct {
	// Client reads from the manager's cache; see [CacheByObject].
	Client client.Client
	// APIReader reads live what the cache leaves out.
	APIReader client.Reader
	// Recorder tells events.
	Recorder events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
}

// Reconcile brings one Workspace a step on.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (result reconcile.Result, err error) {
	ws := &v1alpha1.Workspace{}
	if err := r.Client.Get(ctx, request.NamespacedName, ws); err != nil {
		return result, client.IgnoreNotFound(err)
	}
	if !ws.DeletionTimestamp.IsZero() {
		// Garbage collection follows the owner references; the rest stays.
		return result, nil
	}
	status := ws.Status
	defer func() {
		if reportErr := r.report(ctx, ws, status); reportErr != nil {
			result, err = settle(errors.Join(err, reportErr))
		}
	}()

	seen, err := r.observe(ctx, ws)
	if err != nil {
		status = statusOfError(ws, err, r.Clock.Now())
		return settle(err)
	}
	d, err := decide(ws, seen, r.Clock.Now())
	if err != nil {
		status = statusOfError(ws, err, r.Clock.Now())
		return settle(err)
	}
	if err := r.act(ctx, ws, d); err != nil {
		err = terminal(err)
		status = statusOfAct(ws, d.verdict, err, r.Clock.Now())
		return settle(err)
	}
	status = statusOf(ws, d.verdict, r.Clock.Now())
	return reconcile.Result{RequeueAfter: d.after}, nil
}

// act does what was decided, and stops at the first error.
func (r *Reconciler) act(ctx context.Context, ws *v1alpha1.Workspace, d decision) error {
	if d.makeNamespace != nil {
		if err := r.Client.Create(ctx, d.makeNamespace, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
			return fmt.Errorf("create namespace %q: %w", d.makeNamespace.Name, err)
		}
	}
	for _, object := range d.replace {
		if err := r.delete(ctx, object); err != nil {
			return err
		}
	}
	for _, config := range d.apply {
		if err := r.Client.Apply(ctx, config, client.FieldOwner(v1alpha1.ManagedBy), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	if d.run != nil {
		if err := r.run(ctx, ws, d.run); err != nil {
			return err
		}
	}
	for _, object := range d.remove {
		if err := r.delete(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// run creates the migration. One that exists already and is ours was made before
// a crash, or the cache doesn't show it yet.
func (r *Reconciler) run(ctx context.Context, ws *v1alpha1.Workspace, job *batchv1.Job) error {
	err := r.Client.Create(ctx, job, client.FieldOwner(v1alpha1.ManagedBy))
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	live := &batchv1.Job{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(job), live); err != nil {
		return err
	}
	if !controls(ws, live) {
		return &stalledError{stall(v1alpha1.ReasonNameTaken, stranger("Job", live)), strangerLook}
	}
	if !live.DeletionTimestamp.IsZero() {
		return &waitError{}
	}
	return nil
}

// delete removes exactly the object that was seen. Its dependents go with it: a
// Job's pod.
func (r *Reconciler) delete(ctx context.Context, object client.Object) error {
	err := r.Client.Delete(ctx, object,
		client.Preconditions{UID: new(object.GetUID())}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %T %q: %w", object, object.GetName(), err)
	}
	return nil
}
