package admission

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// Indexes of the manager's cache.
const (
	// IndexSeries has WorkspaceJobs by the recurring job that they are runs of.
	IndexSeries = "series"
	// indexProcessing has the Jobs and pods that hold a place.
	indexProcessing = "processing"
	processing      = "true"
	// indexPodJob has pods by the names of their Jobs.
	indexPodJob = "job"
)

// overdue is how much longer than its grace period a pod that is being deleted may
// hold a place: one on a node that is lost never reports its end.
const overdue = 30 * time.Second

// Cluster is the [Source] of the operator.
type Cluster struct {
	// Client reads from the manager's cache.
	Client client.Reader
	// APIReader reads from the API server.
	APIReader client.Reader
	// Clock of all decisions.
	Clock clock.PassiveClock

	freshness freshness
}

// Index adds to the cache what a [Cluster] looks up.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		of      client.Object
		field   string
		extract client.IndexerFunc
	}{
		{&v1alpha1.WorkspaceJob{}, IndexSeries, seriesOf},
		{&batchv1.Job{}, indexProcessing, jobProcessing},
		{&corev1.Pod{}, indexProcessing, podProcessing},
		{&corev1.Pod{}, indexPodJob, func(pod client.Object) []string { return []string{pod.GetLabels()[batchv1.JobNameLabel]} }},
	} {
		if err := indexer.IndexField(ctx, index.of, index.field, index.extract); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.of, index.field, err)
		}
	}
	return nil
}

func seriesOf(object client.Object) []string {
	if job, ok := object.(*v1alpha1.WorkspaceJob); ok && job.Series() != "" {
		return []string{job.Series()}
	}
	return nil
}

// jobProcessing: an attempt's Job holds a place until it is over. One without an
// attempt is a scheduled run's that waits itself.
func jobProcessing(object client.Object) []string {
	job, ok := object.(*batchv1.Job)
	if !ok || job.Labels[v1alpha1.LabelAttempt] == "" || runnerjob.Over(job) != nil {
		return nil
	}
	return []string{processing}
}

// podProcessing: a pod may outlive its Job.
func podProcessing(object client.Object) []string {
	pod, ok := object.(*corev1.Pod)
	ended := ok && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
	if !ok || ended || pod.Labels[v1alpha1.LabelAttempt] == "" {
		return nil
	}
	return []string{processing}
}

// Fresh is part of [Source].
func (c *Cluster) Fresh(ctx context.Context, namespace string) (bool, error) {
	return c.freshness.reached(ctx, c.Client, c.APIReader, namespace)
}

// Current is part of [Source].
func (c *Cluster) Current(ctx context.Context, namespace string, e Entry) (bool, error) {
	job := &v1alpha1.WorkspaceJob{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.Name}, job, client.UnsafeDisableDeepCopy)
	return err == nil && job.ResourceVersion == e.Version, client.IgnoreNotFound(err)
}

// Occupants is part of [Source].
func (c *Cluster) Occupants(ctx context.Context, namespace string) ([]Occupant, error) {
	within := []client.ListOption{
		client.InNamespace(namespace), client.MatchingFields{indexProcessing: processing}, client.UnsafeDisableDeepCopy,
	}
	var jobs batchv1.JobList
	if err := c.Client.List(ctx, &jobs, within...); err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, within...); err != nil {
		return nil, err
	}
	occupants := make([]Occupant, 0, len(jobs.Items))
	for i := range jobs.Items {
		occupants = append(occupants, occupant(&jobs.Items[i]))
	}
	for i := range pods.Items {
		if gone := pods.Items[i].DeletionTimestamp; gone == nil || c.Clock.Since(gone.Time) < overdue {
			occupants = append(occupants, occupant(&pods.Items[i]))
		}
	}
	return occupants, nil
}

func occupant(object client.Object) Occupant {
	return Occupant{Name: object.GetLabels()[v1alpha1.LabelJob], Key: object.GetAnnotations()[v1alpha1.AnnotationConcurrencyKey]}
}

// Started is part of [Source].
func (c *Cluster) Started(ctx context.Context, namespace, name string) (bool, error) {
	job := &batchv1.Job{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job, client.UnsafeDisableDeepCopy)
	return err == nil && job.Labels[v1alpha1.LabelAttempt] != "", client.IgnoreNotFound(err)
}

// Shown is part of [Source].
func (c *Cluster) Shown(ctx context.Context, namespace, name string) (bool, error) {
	job := &batchv1.Job{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job, client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if job.Labels[v1alpha1.LabelAttempt] == "" {
		return false, nil
	}
	if runnerjob.Over(job) != nil {
		return true, nil
	}
	var pods corev1.PodList
	err = c.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingFields{indexPodJob: name}, client.UnsafeDisableDeepCopy)
	return len(pods.Items) > 0, err
}

// Unfinished is part of [Source].
func (c *Cluster) Unfinished(ctx context.Context, namespace, series string) ([]Run, error) {
	var jobs v1alpha1.WorkspaceJobList
	if err := c.Client.List(ctx, &jobs, client.InNamespace(namespace), client.MatchingFields{IndexSeries: series}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var runs []Run
	for i := range jobs.Items {
		run, err := c.unfinished(ctx, &jobs.Items[i])
		if err != nil {
			return nil, err
		}
		if run != nil {
			runs = append(runs, *run)
		}
	}
	return runs, nil
}

// unfinished is nil for a run that has finished or is not due yet. An attempt may
// have started of which the status does not tell yet.
func (c *Cluster) unfinished(ctx context.Context, job *v1alpha1.WorkspaceJob) (*Run, error) {
	started, err := c.Started(ctx, job.Namespace, job.AttemptName(job.Status.NextNumber()))
	if err != nil {
		return nil, err
	}
	waits := !job.Status.State.Final() && job.Status.EnqueuedAt != nil
	if !waits && !started {
		return nil, nil
	}
	run := &Run{Name: job.Name, TakenUp: started || job.Status.RunAttempts > 0, Due: job.CreationTimestamp.Time, Created: job.CreationTimestamp.Time}
	if waits {
		run.Due = job.Status.EnqueuedAt.Time
	}
	return run, nil
}

// Waiting is part of [Source].
func (c *Cluster) Waiting(ctx context.Context, namespace string) ([]Entry, error) {
	var jobs v1alpha1.WorkspaceJobList
	if err := c.Client.List(ctx, &jobs, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var entries []Entry
	for i := range jobs.Items {
		job := &jobs.Items[i]
		if job.Status.State != v1alpha1.StateEnqueued || job.Status.EnqueuedAt == nil || job.Status.UnderWay() != nil {
			continue
		}
		entry, err := c.EntryOf(ctx, job)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// EntryOf is how job, whose next attempt is due, asks for a place.
func (c *Cluster) EntryOf(ctx context.Context, job *v1alpha1.WorkspaceJob) (Entry, error) {
	entry := Entry{
		Name: job.Name, UID: job.UID, Version: job.ResourceVersion, Job: job.AttemptName(job.Status.NextNumber()), Priority: job.Priority(),
		Due: job.Status.EnqueuedAt.Time, Created: job.CreationTimestamp.Time,
		Series: job.Series(), Policy: v1alpha1.PolicyAllow, TakenUp: job.Status.RunAttempts > 0,
		Reason: toldReason(&job.Status),
	}
	if next := job.Status.NextAttemptAt; entry.TakenUp && next != nil {
		entry.Due = next.Time
	}
	if template := job.Template(); template != nil {
		entry.Key = template.ConcurrencyKey
	}
	if entry.Series == "" || entry.TakenUp {
		return entry, nil
	}
	recurring := &v1alpha1.WorkspaceRecurringJob{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: entry.Series}, recurring, client.UnsafeDisableDeepCopy)
	if err == nil {
		entry.Policy = recurring.Spec.ConcurrencyPolicy
	}
	return entry, client.IgnoreNotFound(err)
}

// toldReason is why the job waits for a place, if its status says so already.
func toldReason(status *v1alpha1.WorkspaceJobStatus) string {
	switch reason := conditions.Reason(status.Conditions); reason {
	case v1alpha1.ReasonQueued, v1alpha1.ReasonQueueSuspended, v1alpha1.ReasonConcurrencyKeyBusy, v1alpha1.ReasonEarlierRunActive:
		return reason
	default:
		return ""
	}
}
