package workspace

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

const (
	// minTeardown is how long after its deletion a Workspace is kept at least: an attempt that
	// was about to start has its Job by then.
	minTeardown = 2 * time.Second
	// stoppingRecheck is how often the pods of a deleted Workspace are counted.
	stoppingRecheck = 2 * time.Second
	// pageOfRunners is how many Jobs the API server lists at a time.
	pageOfRunners = 100
)

// keep sets the finalizer that lets teardown stop the runners before the garbage collector
// removes what isolates them.
func (r *Reconciler) keep(ctx context.Context, ws *v1alpha1.Workspace) error {
	return r.setFinalizers(ctx, ws, controllerutil.AddFinalizer)
}

// setFinalizers adds or removes the finalizer, if it is not as it should be.
func (r *Reconciler) setFinalizers(ctx context.Context, ws *v1alpha1.Workspace, set func(client.Object, string) (changed bool)) error {
	before := ws.DeepCopy()
	if !set(ws, v1alpha1.FinalizerRunners) {
		return nil
	}
	return r.Client.Patch(ctx, ws, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1alpha1.ManagedBy))
}

// teardown stops the runners of a Workspace that is being deleted, and returns after which time
// to check again. Once no pod of theirs is left, it lets the Workspace go, and the garbage
// collector removes what isolated them.
func (r *Reconciler) teardown(ctx context.Context, ws *v1alpha1.Workspace) (time.Duration, error) {
	if !controllerutil.ContainsFinalizer(ws, v1alpha1.FinalizerRunners) {
		r.Reporter.Forget(client.ObjectKeyFromObject(ws))
		return 0, nil
	}
	left, err := r.stopRunners(ctx, ws)
	if err != nil {
		return 0, err
	}
	if wait := ws.DeletionTimestamp.Add(minTeardown).Sub(r.Clock.Now()); left > 0 || wait > 0 {
		ctrl.LoggerFrom(ctx).Info("a deleted Workspace waits for its runners to stop", "left", left)
		return max(wait, stoppingRecheck), nil
	}
	return 0, client.IgnoreNotFound(r.setFinalizers(ctx, ws, controllerutil.RemoveFinalizer))
}

// stopRunners deletes the Jobs that run. It returns how many it deleted, whose pods may have yet
// to be created, and how many pods of runners have not ended, of the first hundred. It asks the
// API server: what the cache lacks would run on without its isolation.
func (r *Reconciler) stopRunners(ctx context.Context, ws *v1alpha1.Workspace) (left int, err error) {
	if ws.Status.Namespace == "" {
		return 0, nil
	}
	own := []client.ListOption{client.InNamespace(ws.Status.Namespace), client.MatchingLabels(labelsOf(ws)), client.Limit(pageOfRunners)}
	var jobs batchv1.JobList
	for more := true; more; more = jobs.Continue != "" {
		if err := r.APIReader.List(ctx, &jobs, append(own, client.Continue(jobs.Continue))...); err != nil {
			return 0, fmt.Errorf("list the Jobs of a deleted Workspace: %w", err)
		}
		for i := range jobs.Items {
			job := &jobs.Items[i]
			if runnerjob.Over(job) != nil || !job.DeletionTimestamp.IsZero() {
				continue
			}
			if err := r.stopRunner(ctx, job); err != nil {
				return 0, err
			}
			left++
		}
	}
	var pods corev1.PodList
	if err := r.APIReader.List(ctx, &pods, append(own, notEnded)...); err != nil {
		return 0, fmt.Errorf("list the pods of a deleted Workspace: %w", err)
	}
	return left + len(pods.Items), nil
}

func (r *Reconciler) stopRunner(ctx context.Context, job *batchv1.Job) error {
	err := r.Client.Delete(ctx, job, client.Preconditions{UID: &job.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("stop Job %q of a deleted Workspace: %w", job.Name, err)
	}
	return nil
}

// notEnded selects the pods of which a container may still run.
var notEnded = client.MatchingFieldsSelector{Selector: fields.AndSelectors(
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
	fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
)}
