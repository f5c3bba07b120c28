package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// act stops, starts and deletes Jobs. What the API server refuses for good changes
// the decision instead of being an error.
func (r *Reconciler) act(ctx context.Context, o observed, d *decision) error {
	if d.stop != nil {
		if err := r.stop(ctx, d.stop); err != nil {
			return err
		}
	}
	for i := range d.reap {
		child := &d.reap[i]
		err := r.Client.Delete(ctx, child, client.Preconditions{UID: &child.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Job %q: %w", child.Name, err)
		}
	}
	switch {
	case d.start == nil:
		return nil
	case o.tick != nil:
		return r.release(ctx, o, d)
	default:
		return r.create(ctx, o, d)
	}
}

// create the attempt's Job.
func (r *Reconciler) create(ctx context.Context, o observed, d *decision) error {
	child := build(o.workspace, o.job, *d.start)
	err := r.Client.Create(ctx, child, client.FieldOwner(v1alpha1.ManagedBy))
	if apierrors.IsAlreadyExists(err) {
		return r.takeUp(ctx, o, d, child)
	}
	if refusal := refusalOf(err); refusal != nil {
		withdraw(o, d, *refusal)
		r.Queues.Forget(o.job.Namespace, o.job.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("create Job %q: %w", child.Name, err)
	}
	recordChild(d, child)
	return nil
}

// release the Job that a schedule made: it becomes this WorkspaceJob's and starts,
// in one write.
func (r *Reconciler) release(ctx context.Context, o observed, d *decision) error {
	child := start(o.tick, o.job, *d.start)
	patch := client.MergeFromWithOptions(o.tick, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, child, patch, client.FieldOwner(v1alpha1.ManagedBy)); err != nil {
		return fmt.Errorf("start Job %q: %w", child.Name, err)
	}
	recordChild(d, child)
	return nil
}

// takeUp a Job that exists under the attempt's name: ours, of a life before this
// one or not in the cache yet, or somebody else's.
func (r *Reconciler) takeUp(ctx context.Context, o observed, d *decision, child *batchv1.Job) error {
	found := &batchv1.Job{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(child), found); err != nil {
		return fmt.Errorf("read Job %q: %w", child.Name, err)
	}
	if belongs(found, o.job) {
		recordChild(d, found)
		return nil
	}
	ours, err := r.scheduledFor(ctx, found, o.job)
	if err != nil {
		return err
	}
	if ours {
		// The cache does not have the schedule's Job yet.
		o.tick = found
		return r.release(ctx, o, d)
	}
	r.Queues.Forget(o.job.Namespace, o.job.Name)
	withdraw(o, d, refusal{
		reason: v1alpha1.ReasonNameTaken, stalled: true, after: foreignLook,
		message: foreignMessage(found.Name),
	})
	return nil
}

// stop deletes the pods that are left of the Job, which keeps each until it has
// counted its end. Suspending the Job would let a pod go uncounted, so it is for a
// Job that has none. See docs/decisions/0002-stop-by-deleting-the-pod.md.
func (r *Reconciler) stop(ctx context.Context, child *batchv1.Job) error {
	var pods corev1.PodList
	if err := r.APIReader.List(ctx, &pods, client.InNamespace(child.Namespace), client.MatchingLabels{batchv1.ControllerUidLabel: string(child.UID)}); err != nil {
		return fmt.Errorf("list the pods of Job %q: %w", child.Name, err)
	}
	if len(pods.Items) == 0 {
		return r.suspend(ctx, child)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if ended || !pod.DeletionTimestamp.IsZero() || !metav1.IsControlledBy(pod, child) {
			continue
		}
		if err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stop pod %q: %w", pod.Name, err)
		}
	}
	return nil
}

func (r *Reconciler) suspend(ctx context.Context, child *batchv1.Job) error {
	if runnerjob.Suspended(child) {
		return nil
	}
	changed := child.DeepCopy()
	changed.Spec.Suspend = new(true)
	patch := client.MergeFromWithOptions(child, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch, client.FieldOwner(v1alpha1.ManagedBy)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("suspend Job %q: %w", child.Name, err)
	}
	return nil
}
