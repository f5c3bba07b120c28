package job

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/adopt"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// act carries out the decision, and adds the outcome to o. A refusal by the API server is
// a fact, not an error.
func (r *Reconciler) act(ctx context.Context, o *observed, d decision) error {
	// The queue first: a job that can't do the rest must not hold up those behind it.
	if d.queue != o.queue {
		if err := r.updateQueue(ctx, o, d); err != nil {
			return err
		}
	}
	if d.stop != nil {
		if err := r.stop(ctx, d.stop); err != nil {
			return err
		}
		o.stopped = true
	}
	if d.start != nil {
		if err := r.start(ctx, o, *d.start); err != nil {
			return err
		}
	}
	return r.deleteJobs(ctx, o, d.reap)
}

// start starts an attempt: it releases the tick that waits for it, or creates its Job.
func (r *Reconciler) start(ctx context.Context, o *observed, attempt v1alpha1.Attempt) error {
	if o.tick != nil {
		return r.release(ctx, o, attempt)
	}
	return r.create(ctx, o, attempt)
}

// updateQueue puts the job where it belongs in its workspace's queue.
func (r *Reconciler) updateQueue(ctx context.Context, o *observed, d decision) error {
	switch d.queue {
	case running:
		r.Queues.Running(o.job.Namespace, o.job.Name)
	case waiting:
		slot, err := r.Queues.Ask(ctx, o.workspace, d.ask)
		if err != nil {
			return err
		}
		o.slot = &slot
	default:
		left, err := r.Queues.Leave(ctx, o.job.Namespace, o.job.Name)
		if err != nil {
			return err
		}
		o.reserved = left
	}
	o.queue = d.queue
	return nil
}

// create creates the attempt's Job. If a Job of that name exists, create adopts it if
// it is this WorkspaceJob's, created before a crash or not in the cache yet. Otherwise it
// notes in o whether the Job is the schedule's tick or another owner's.
func (r *Reconciler) create(ctx context.Context, o *observed, attempt v1alpha1.Attempt) error {
	job := o.job
	if !cached.Whole(job.Template().Args) {
		var err error
		if job, err = cached.Uncached(ctx, r.APIReader, job); err != nil {
			return err
		}
	}
	made := build(o.workspace, job, attempt)
	r.Fence.Guard(o.workspace, &made.Spec)
	answer, err := adopt.Create(ctx, r.Client, r.APIReader, made,
		func(found *batchv1.Job) bool { return belongs(found, o.job) })
	switch {
	case err != nil:
		return err
	case answer.Refusal != nil:
		o.refusal = answer.Refusal
		return nil
	case answer.Object != nil:
		o.made = answer.Object
		return nil
	}
	scheduled, err := r.scheduledFor(ctx, answer.Foreign, o.job)
	if err != nil {
		return err
	}
	if scheduled {
		o.tick = answer.Foreign
		return nil
	}
	o.foreign = answer.Foreign.Name
	return nil
}

// release gives the tick to this WorkspaceJob and starts it, in one write.
func (r *Reconciler) release(ctx context.Context, o *observed, attempt v1alpha1.Attempt) error {
	child := released(o.tick, o.job, attempt)
	patch := client.MergeFromWithOptions(o.tick, client.MergeFromWithOptimisticLock{})
	err := r.Client.Patch(ctx, child, patch, client.FieldOwner(v1alpha1.ManagedBy))
	if refusal := report.RefusalOf(err); refusal != nil {
		o.refusal = refusal
		return nil
	}
	if err != nil {
		return fmt.Errorf("start Job %q: %w", child.Name, err)
	}
	o.made, o.tick = child, nil
	return nil
}

// deleteJobs deletes Jobs, and removes them from o.
func (r *Reconciler) deleteJobs(ctx context.Context, o *observed, jobs []batchv1.Job) error {
	for i := range jobs {
		child := &jobs[i]
		err := r.Client.Delete(ctx, child, client.Preconditions{UID: &child.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Job %q: %w", child.Name, err)
		}
		o.forget(child)
	}
	return nil
}

// forget removes a deleted Job from what was observed.
func (o *observed) forget(child *batchv1.Job) {
	if o.tick != nil && o.tick.UID == child.UID {
		o.tick = nil
	}
	o.ended = slices.DeleteFunc(o.ended, func(ended batchv1.Job) bool { return ended.UID == child.UID })
}

// stop deletes the Job's running pods. The Job controller keeps each pod until it has
// counted how the pod ended. Suspending the Job could lose that count, so stop suspends
// only a Job without pods. See docs/decisions/0002-stop-by-deleting-the-pod.md.
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
