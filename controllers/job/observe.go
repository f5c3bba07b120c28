package job

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// troubleAfter is how long a pod may be on its way before its events are asked
// why.
const troubleAfter = 10 * time.Second

// Indexes of the manager's cache.
const (
	indexPodOwner           = "controllerUID"
	indexWorkspaceNamespace = "namespaceName"
)

// observe gathers all that decide needs. The cache may lag: where acting on what
// it lacks would be wrong, the API server is asked.
func (r *Reconciler) observe(ctx context.Context, job *v1alpha1.WorkspaceJob) (observed, error) {
	o := observed{now: r.Clock.Now(), job: job, pendingLimit: r.PendingLimit}
	var err error
	if o.workspace, err = r.workspaceOf(ctx, job.Namespace); err != nil {
		return o, err
	}
	child, err := r.childOf(ctx, job)
	if err != nil || child == nil {
		return o, err
	}
	if !metav1.IsControlledBy(child, job) {
		o.foreign = foreignMessage(child.Name)
		return o, nil
	}
	o.child = child
	o.seen, err = r.seenOf(ctx, child, o.now)
	return o, err
}

// workspaceOf finds the workspace that holds the namespace, or the one that wants
// it and is not there yet; nil if there is none.
func (r *Reconciler) workspaceOf(ctx context.Context, namespace string) (*v1alpha1.Workspace, error) {
	var list v1alpha1.WorkspaceList
	if err := r.Client.List(ctx, &list, client.MatchingFields{indexWorkspaceNamespace: namespace}); err != nil {
		return nil, fmt.Errorf("find the workspace of namespace %q: %w", namespace, err)
	}
	for i := range list.Items {
		if list.Items[i].Status.Namespace == namespace {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// childOf is the Job of the attempt that is under way or, if none is, whatever
// holds the name of the next one.
func (r *Reconciler) childOf(ctx context.Context, job *v1alpha1.WorkspaceJob) (*batchv1.Job, error) {
	current := underWay(&job.Status)
	key := client.ObjectKey{Namespace: job.Namespace, Name: attemptName(job.Name, nextNumber(&job.Status))}
	if current != nil {
		key.Name = current.Job
	}
	child := &batchv1.Job{}
	err := r.Client.Get(ctx, key, child)
	// Calling an attempt lost, or a job cancelled before it started, must not rest
	// on a cache that lags.
	certain := current != nil || job.Spec.Cancelled && !job.Status.State.Final()
	if apierrors.IsNotFound(err) && certain {
		err = r.APIReader.Get(ctx, key, child)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Job %q: %w", key.Name, err)
	}
	return child, nil
}

func (r *Reconciler) seenOf(ctx context.Context, child *batchv1.Job, now time.Time) (runnerjob.Observation, error) {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(child.Namespace), client.MatchingFields{indexPodOwner: string(child.UID)}); err != nil {
		return runnerjob.Observation{}, fmt.Errorf("list the pods of Job %q: %w", child.Name, err)
	}
	if runnerjob.Finished(child) != nil && !runnerjob.EndSeen(pods.Items) {
		if err := r.APIReader.List(ctx, &pods, client.InNamespace(child.Namespace), client.MatchingLabels{batchv1.ControllerUidLabel: string(child.UID)}); err != nil {
			return runnerjob.Observation{}, fmt.Errorf("list the pods of Job %q: %w", child.Name, err)
		}
	}
	seen := runnerjob.Observe(child, pods.Items)
	stuck := seen.End == nil && seen.StartedAt == nil && seen.Waiting == "" && now.Sub(child.CreationTimestamp.Time) >= troubleAfter
	if !stuck {
		return seen, nil
	}
	about := []client.Object{child}
	for i := range pods.Items {
		about = append(about, &pods.Items[i])
	}
	var err error
	seen.Waiting, err = runnerjob.Trouble(ctx, r.APIReader, about...)
	return seen, err
}
