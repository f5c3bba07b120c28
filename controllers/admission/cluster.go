package admission

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// Indexes of the manager's cache.
const (
	// IndexSeries has WorkspaceJobs by the recurring job that they are runs of.
	IndexSeries = "series"
	// indexProcessing has the Jobs and pods that use a slot.
	indexProcessing = "processing"
	processing      = "true"
	// indexPodJob has pods by the names of their Jobs.
	indexPodJob = "job"
)

// overdue is how long after its grace period a pod that is being deleted still uses a
// slot. It has to end: a pod on a lost node never reports that it stopped.
const overdue = 30 * time.Second

// Cluster is the operator's [Source].
type Cluster struct {
	// Client reads from the manager's cache.
	Client client.Reader
	// APIReader reads from the API server.
	APIReader client.Reader
	// Clock tells the time of all decisions.
	Clock clock.PassiveClock

	freshness freshness
}

// Index adds to the manager's cache the indexes that a [Cluster] needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		of      client.Object
		field   string
		extract client.IndexerFunc
	}{
		{&v1alpha1.WorkspaceJob{}, IndexSeries, indexSeries},
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

func indexSeries(object client.Object) []string {
	if job, ok := object.(*v1alpha1.WorkspaceJob); ok && job.Series() != "" {
		return []string{job.Series()}
	}
	return nil
}

// jobProcessing indexes an attempt's Job, which uses a slot until it is over. A Job without
// an attempt is a tick, which waits for a slot itself.
func jobProcessing(object client.Object) []string {
	job, ok := object.(*batchv1.Job)
	if !ok || job.Labels[v1alpha1.LabelAttempt] == "" || runnerjob.Over(job) != nil {
		return nil
	}
	return []string{processing}
}

// podProcessing indexes an attempt's pod that has not stopped, because it may outlive its Job.
func podProcessing(object client.Object) []string {
	pod, ok := object.(*corev1.Pod)
	ended := ok && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
	if !ok || ended || pod.Labels[v1alpha1.LabelAttempt] == "" {
		return nil
	}
	return []string{processing}
}

// Fresh implements [Source].
func (c *Cluster) Fresh(ctx context.Context, namespace string) (bool, error) {
	return c.freshness.reached(ctx, c.Client, c.APIReader, namespace)
}

// Current implements [Source].
func (c *Cluster) Current(ctx context.Context, namespace string, e Entry) (bool, error) {
	job := &v1alpha1.WorkspaceJob{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.Name}, job, client.UnsafeDisableDeepCopy)
	return err == nil && job.ResourceVersion == e.Version, client.IgnoreNotFound(err)
}

// Occupants implements [Source].
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
		if c.occupies(&pods.Items[i]) {
			occupants = append(occupants, occupant(&pods.Items[i]))
		}
	}
	return occupants, nil
}

// occupies reports whether the pod uses a slot. One that should have stopped long ago is on a
// node that is lost.
func (c *Cluster) occupies(pod *corev1.Pod) bool {
	gone := pod.DeletionTimestamp
	return gone == nil || c.Clock.Since(gone.Time) < overdue
}

func occupant(object client.Object) Occupant {
	return Occupant{Name: object.GetLabels()[v1alpha1.LabelJob], Key: object.GetAnnotations()[v1alpha1.AnnotationConcurrencyKey]}
}

// started reports whether the cache shows that the Job is an attempt's, running or over.
func (c *Cluster) started(ctx context.Context, namespace, name string) (bool, error) {
	job := &batchv1.Job{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job, client.UnsafeDisableDeepCopy)
	return err == nil && job.Labels[v1alpha1.LabelAttempt] != "", client.IgnoreNotFound(err)
}

// Shown implements [Source].
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

// Unfinished implements [Source].
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

// unfinished returns nil for a run that has finished or is not due yet. The next attempt's
// Job counts too: the status may not show yet that it started.
func (c *Cluster) unfinished(ctx context.Context, job *v1alpha1.WorkspaceJob) (*Run, error) {
	started, err := c.started(ctx, job.Namespace, job.AttemptName(job.Status.NextNumber()))
	if err != nil {
		return nil, err
	}
	waits := !job.Status.State.Final() && job.Status.EnqueuedAt != nil
	if !waits && !started {
		return nil, nil
	}
	run := &Run{Name: job.Name, HasAttempt: started || job.Status.RunAttempts > 0, Due: job.CreationTimestamp.Time, Created: job.CreationTimestamp.Time}
	if waits {
		run.Due = job.Status.EnqueuedAt.Time
	}
	return run, nil
}

// Waiting implements [Source].
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
		series, err := c.seriesOf(ctx, job)
		if err != nil {
			return nil, err
		}
		entries = append(entries, EntryOf(job, series))
	}
	return entries, nil
}

// seriesOf returns the recurring job that job is a run of, or nil.
func (c *Cluster) seriesOf(ctx context.Context, job *v1alpha1.WorkspaceJob) (*v1alpha1.WorkspaceRecurringJob, error) {
	if job.Series() == "" {
		return nil, nil
	}
	series := &v1alpha1.WorkspaceRecurringJob{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: job.Series()}, series, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return series, nil
}

// Remains implements [Source]. Names are not trusted: the Job and its pods carry the UID
// of the WorkspaceJob that they are an attempt of.
func (c *Cluster) Remains(ctx context.Context, namespace string, e Entry) (bool, error) {
	job := &batchv1.Job{}
	err := c.APIReader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.Job}, job)
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	if err == nil && attemptOf(job, e) {
		return runnerjob.Over(job) == nil, nil
	}
	var pods corev1.PodList
	if err := c.APIReader.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{batchv1.JobNameLabel: e.Job}); err != nil {
		return false, err
	}
	return slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return attemptOf(&pod, e) && c.occupies(&pod) }), nil
}

func attemptOf(object client.Object, e Entry) bool {
	return object.GetAnnotations()[v1alpha1.AnnotationJobUID] == string(e.UID)
}

// Exists implements [Source].
func (c *Cluster) Exists(ctx context.Context, namespace string, e Entry) (bool, error) {
	job := &metav1.PartialObjectMetadata{}
	job.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkspaceJob"))
	err := c.APIReader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: e.Name}, job)
	return err == nil && job.UID == e.UID, client.IgnoreNotFound(err)
}
