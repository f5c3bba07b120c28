package job

import (
	"context"
	"errors"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// placeLook is how soon it is looked again whether a place has become free.
const placeLook = time.Second

// queue asks for a place where the decision is to start an attempt, and leaves the
// queue where it is not.
func (r *Reconciler) queue(ctx context.Context, o observed, d *decision) error {
	namespace, name := o.job.Namespace, o.job.Name
	if d.start == nil && d.status.UnderWay() != nil {
		r.Queues.Started(namespace, name)
		return nil
	}
	next := admission.Entry{UID: o.job.UID}
	if d.start != nil {
		next.Job = d.start.Job
	}
	left, err := r.leave(ctx, namespace, name, next)
	if err != nil {
		return err
	}
	if left {
		d.start = nil
		d.look(placeLook)
	}
	if d.start == nil {
		return nil
	}
	return r.ask(ctx, o, d)
}

func (r *Reconciler) ask(ctx context.Context, o observed, d *decision) error {
	asking := *o.job
	asking.Status = d.status
	entry, err := r.Places.EntryOf(ctx, &asking)
	if err != nil {
		return err
	}
	verdict, err := r.Queues.Ask(ctx, o.workspace, entry)
	if err == nil && verdict.Again {
		// If it is gone, its next look leaves the queue.
		err = r.stillThere(ctx, o.job)
	}
	switch {
	case err != nil:
		return err
	case verdict.Admitted:
		admitted(o, d)
	case verdict.Rejected:
		rejected(o, d, verdict)
	default:
		waits(o, d, verdict)
	}
	return nil
}

// leave the queue, but for the place of the Job named next. It reports whether
// something is left: a place is free only when it is certain that no Job or pod is on
// its way, or stopping, that the cache does not show.
func (r *Reconciler) leave(ctx context.Context, namespace, name string, next admission.Entry) (left bool, err error) {
	taken, err := r.Queues.Taken(ctx, namespace, name)
	switch {
	case err != nil:
		return false, err
	case taken.Job == "" && next.Job != "", taken.Job != "" && taken.Job == next.Job && taken.UID == next.UID:
		return false, nil
	case taken.Job != "":
		if left, err := r.leftOf(ctx, namespace, taken.Job); err != nil || left {
			return left, err
		}
	}
	r.Queues.Forget(namespace, name)
	return false, nil
}

// stillThere is an error if the WorkspaceJob is gone from the API server.
func (r *Reconciler) stillThere(ctx context.Context, job *v1alpha1.WorkspaceJob) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkspaceJob"))
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(job), live); err != nil {
		return err
	}
	if live.UID != job.UID {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("workspacejobs").GroupResource(), job.Name, errors.New("it is another one"))
	}
	return nil
}

// leftOf reports whether a Job that is not over, or a pod of one that is gone, exists.
func (r *Reconciler) leftOf(ctx context.Context, namespace, name string) (bool, error) {
	child := &batchv1.Job{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, child)
	if !apierrors.IsNotFound(err) {
		return err == nil && runnerjob.Over(child) == nil, err
	}
	var pods corev1.PodList
	err = r.APIReader.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{batchv1.JobNameLabel: name}, client.Limit(1))
	return len(pods.Items) > 0, err
}
