package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// ErrKeyUsed is returned when another job, which does something else, has the name or the
// idempotency key.
var ErrKeyUsed = errors.New("another job has this name or idempotency key")

// fieldOwner owns the fields that this package sets.
const fieldOwner = client.FieldOwner("workspace-jobs-client")

// Enqueue creates a job that runs now. args are the handler's arguments: any value that is
// encoded as a JSON object, or nil.
func (w *Workspace) Enqueue(ctx context.Context, handler string, args any, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{}, options)
}

// Schedule creates a job that runs after the delay.
func (w *Workspace) Schedule(ctx context.Context, handler string, args any, delay time.Duration, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{Delay: &v1alpha1.Duration{Duration: delay}}, options)
}

// ScheduleAt creates a job that runs at this time, or at once if it has passed.
func (w *Workspace) ScheduleAt(ctx context.Context, handler string, args any, at time.Time, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{RunAt: new(metav1.NewTime(at))}, options)
}

// ContinueWith creates a job that runs once its parent has Succeeded.
func (w *Workspace) ContinueWith(ctx context.Context, parent, handler string, args any, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.Enqueue(ctx, handler, args, append(options, After(parent))...)
}

func (w *Workspace) enqueue(ctx context.Context, handler string, args any, spec v1alpha1.WorkspaceJobSpec, options []JobOption) (*v1alpha1.WorkspaceJob, error) {
	encoded, err := encode(args)
	if err != nil {
		return nil, err
	}
	spec.Handler, spec.Args = handler, encoded
	job := &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: prefixOf(handler)},
		Spec:       spec,
	}
	for _, option := range options {
		option.job(job)
	}
	return w.Create(ctx, job)
}

// Create creates a job from its full description. If there is a job of this name, Create
// returns it if it does the same, and [ErrKeyUsed] otherwise.
func (w *Workspace) Create(ctx context.Context, job *v1alpha1.WorkspaceJob) (*v1alpha1.WorkspaceJob, error) {
	made, _, err := w.CreateOnce(ctx, job)
	return made, err
}

// CreateOnce is Create, and reports whether this call created the job.
func (w *Workspace) CreateOnce(ctx context.Context, job *v1alpha1.WorkspaceJob) (made *v1alpha1.WorkspaceJob, created bool, err error) {
	kube, err := w.kube()
	if err != nil {
		return nil, false, err
	}
	job.Namespace = w.namespace
	if job.Name == "" && job.GenerateName == "" {
		job.GenerateName = prefixOf(cmp.Or(job.Spec.Handler, job.Series()))
	}
	// Creates that race for a ResourceQuota get a conflict.
	err = w.signed(ctx, func(author string) error {
		return retry.OnError(backoff(), apierrors.IsConflict, func() error {
			made = job.DeepCopy()
			if author != "" {
				metav1.SetMetaDataAnnotation(&made.ObjectMeta, v1alpha1.AnnotationCreatedBy, author)
			}
			return kube.Create(ctx, made, fieldOwner)
		})
	})
	if apierrors.IsAlreadyExists(err) && job.Name != "" {
		made, err = w.existing(ctx, job)
		return made, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("create a job for handler %q: %w", job.Spec.Handler, err)
	}
	return made, true, nil
}

func (w *Workspace) existing(ctx context.Context, job *v1alpha1.WorkspaceJob) (*v1alpha1.WorkspaceJob, error) {
	found, err := w.Get(ctx, job.Name)
	if err != nil {
		return nil, err
	}
	if !does(found, job) {
		return nil, fmt.Errorf("job %q: %w", job.Name, ErrKeyUsed)
	}
	return found, nil
}

// does reports whether what defines the run is the same. The defaults that the API server
// fills in make no difference.
func does(found, wanted *v1alpha1.WorkspaceJob) bool {
	a, b := found.Spec, wanted.Spec
	return a.Handler == b.Handler && v1alpha1.SameJSON(a.Args, b.Args) &&
		equality.Semantic.DeepEqual(a.RecurringJobRef, b.RecurringJobRef) &&
		equality.Semantic.DeepEqual(a.Delay, b.Delay) && sameTime(a.RunAt, b.RunAt) &&
		equality.Semantic.DeepEqual(a.After, b.After)
}

// sameTime compares whole seconds, as the API keeps them.
func sameTime(a, b *metav1.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Unix() == b.Unix()
}

// Get returns a job.
func (w *Workspace) Get(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{}
	return job, w.get(ctx, name, job)
}

// Cancel stops a job, or keeps it from running. One that has finished stays as it is.
func (w *Workspace) Cancel(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	return w.patchJob(ctx, name, map[string]any{"cancelled": true}, "cancelled", v1alpha1.AnnotationCancelledBy)
}

// ErrNotFinished is returned when a job that has not finished is requeued.
var ErrNotFinished = errors.New("it has not finished")

// Requeue runs a finished job again, as a new run. A cancelled job is no longer cancelled
// then. Requeue returns [ErrNotFinished] for a job that has not finished.
func (w *Workspace) Requeue(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	job, err := w.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if !Finished(job) || job.Status.FinishedAt == nil {
		return nil, fmt.Errorf("job %q is %s: %w", name, stateOf(job), ErrNotFinished)
	}
	// The clock here may be behind the one that recorded the job's end.
	at := time.Now()
	if end := job.Status.FinishedAt.Add(time.Second); at.Before(end) {
		at = end
	}
	return w.RequeueAt(ctx, name, at)
}

// RequeueAt runs a finished job again at this time, to the second.
func (w *Workspace) RequeueAt(ctx context.Context, name string, at time.Time) (*v1alpha1.WorkspaceJob, error) {
	return w.patchJob(ctx, name, map[string]any{"requeueAt": at.UTC().Format(time.RFC3339), "cancelled": nil}, "requeueAt", v1alpha1.AnnotationRequeuedBy)
}

func (w *Workspace) patchJob(ctx context.Context, name string, spec map[string]any, field, annotation string) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	return job, w.change(ctx, job, spec, field, annotation)
}

// Delete deletes a job with its attempts and their logs. It returns nil if there is no such
// job.
func (w *Workspace) Delete(ctx context.Context, name string) error {
	return w.delete(ctx, &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})
}

func (w *Workspace) delete(ctx context.Context, object client.Object) error {
	kube, err := w.kube()
	if err != nil {
		return err
	}
	if err := kube.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %q: %w", kindOf(object), object.GetName(), err)
	}
	return nil
}

func backoff() wait.Backoff {
	return wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 2 * time.Second}
}
