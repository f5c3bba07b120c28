package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// observe reads all that decide needs. The cache may lag, so the API server is asked where
// a missing object would lead to a wrong decision.
func (r *Reconciler) observe(ctx context.Context, job *v1alpha1.WorkspaceJob) (observed, error) {
	o := observed{now: r.Clock.Now(), job: job, limits: r.Limits}
	var err error
	if o.workspace, err = workspace.Of(ctx, r.Client, job.Namespace); err != nil {
		return o, err
	}
	if err := r.observeRelatives(ctx, &o); err != nil {
		return o, err
	}
	owned, err := r.ownedBy(ctx, job)
	if err != nil {
		return o, err
	}
	o.ended = slices.DeleteFunc(slices.Clone(owned), func(child batchv1.Job) bool { return runnerjob.Over(&child) == nil })
	return o, r.observeChild(ctx, &o, owned)
}

// observeChild reads the Job of the attempt that is under way or, if none is, whatever Job
// has the name of the next one.
func (r *Reconciler) observeChild(ctx context.Context, o *observed, owned []batchv1.Job) error {
	child, err := r.childOf(ctx, o, owned)
	if err != nil || child == nil {
		return err
	}
	scheduled, err := r.scheduledFor(ctx, child, o.job)
	if err != nil {
		return err
	}
	if scheduled {
		o.tick = child
		return nil
	}
	if !belongs(child, o.job) {
		o.foreign = child.Name
		return nil
	}
	o.child = child
	o.seen, err = runnerjob.Read(ctx, r.Client, r.APIReader, child, o.now.Sub(startableSince(*o, child)))
	return err
}

// belongs reports whether the Job is an attempt of this WorkspaceJob, by UID: the operator
// created the Job for it, or released a tick for it.
func belongs(child *batchv1.Job, job *v1alpha1.WorkspaceJob) bool {
	owned := slices.ContainsFunc(child.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.UID == job.UID })
	return owned && child.Annotations[v1alpha1.AnnotationJobUID] == string(job.UID)
}

// isTick reports whether the Job looks like a tick that nobody has started.
func isTick(child *batchv1.Job, job *v1alpha1.WorkspaceJob) bool {
	_, scheduled := job.ScheduledAt()
	return scheduled && child.Name == job.Name && child.Annotations[v1alpha1.AnnotationJobUID] == "" && runnerjob.Suspended(child)
}

// scheduledFor reports whether the Job is the tick of this run: it is suspended, the CronJob
// of the run's recurring job controls it, and its template has the run's handler and args.
func (r *Reconciler) scheduledFor(ctx context.Context, child *batchv1.Job, job *v1alpha1.WorkspaceJob) (bool, error) {
	owner := metav1.GetControllerOf(child)
	if !isTick(child, job) || owner == nil || owner.Kind != "CronJob" {
		return false, nil
	}
	cronJob := &batchv1.CronJob{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: child.Namespace, Name: owner.Name}, cronJob, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	series, mine := metav1.GetControllerOf(cronJob), metav1.GetControllerOf(job)
	if cronJob.UID != owner.UID || series == nil || mine == nil || series.UID != mine.UID {
		return false, nil
	}
	template := v1alpha1.JobTemplate{}
	if err := json.Unmarshal([]byte(child.Annotations[v1alpha1.AnnotationTemplate]), &template); err != nil {
		return false, nil
	}
	sameArgs := v1alpha1.SameJSON(cached.Args(template.Args), cached.Args(job.Spec.Args))
	return template.Handler == job.Spec.Handler && sameArgs, nil
}

// ownedBy lists the job's own Jobs.
func (r *Reconciler) ownedBy(ctx context.Context, job *v1alpha1.WorkspaceJob) ([]batchv1.Job, error) {
	var list batchv1.JobList
	if err := r.Client.List(ctx, &list, client.InNamespace(job.Namespace), client.MatchingFields{runnerjob.IndexOwner: string(job.UID)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the Jobs of %q: %w", job.Name, err)
	}
	var owned []batchv1.Job
	for i := range list.Items {
		if child := &list.Items[i]; belongs(child, job) {
			owned = append(owned, *child)
		}
	}
	return owned, nil
}

// nextName returns the name of the next attempt's Job. If that exists already, its own name
// counts: users may change the annotations that the name of a new one follows.
func nextName(job *v1alpha1.WorkspaceJob, owned []batchv1.Job) string {
	number := job.Status.NextNumber()
	at := slices.IndexFunc(owned, func(child batchv1.Job) bool {
		return child.Labels[v1alpha1.LabelAttempt] == strconv.Itoa(int(number))
	})
	if at < 0 {
		return job.AttemptName(number)
	}
	return owned[at].Name
}

// childOf returns the Job of the attempt that is under way or, if none is, whatever has the
// name of the next one.
func (r *Reconciler) childOf(ctx context.Context, o *observed, owned []batchv1.Job) (*batchv1.Job, error) {
	job := o.job
	current := job.Status.UnderWay()
	key := client.ObjectKey{Namespace: job.Namespace, Name: nextName(job, owned)}
	if current != nil {
		key.Name = current.Job
	}
	child := &batchv1.Job{}
	err := r.Client.Get(ctx, key, child)
	// A lagging cache must not decide that an attempt is lost, or that a job was withdrawn
	// before it started.
	certain := current != nil || o.withdrawn() && !job.Status.State.Final()
	// Nor that the Job of an attempt under way is still a tick.
	stale := err == nil && current != nil && !belongs(child, job)
	if apierrors.IsNotFound(err) && certain || stale {
		child = &batchv1.Job{} // Decoding into the cached one would keep what the live one lacks.
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
