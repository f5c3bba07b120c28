package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// ErrKeyUsed: there is a job of this name, or with this idempotency key, that does
// something else.
var ErrKeyUsed = errors.New("another job has this name or idempotency key")

// fieldOwner is whose the fields are that this package sets.
const fieldOwner = client.FieldOwner("workspace-jobs-client")

// Enqueue a job to run now. args is what the handler takes: anything that is a JSON
// object once encoded, or nil.
func (w *Workspace) Enqueue(ctx context.Context, handler string, args any, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{}, options)
}

// Schedule a job to run after the delay.
func (w *Workspace) Schedule(ctx context.Context, handler string, args any, delay time.Duration, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{Delay: &v1alpha1.Duration{Duration: delay}}, options)
}

// ScheduleAt has a job run at this time; at once if it has passed.
func (w *Workspace) ScheduleAt(ctx context.Context, handler string, args any, at time.Time, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return w.enqueue(ctx, handler, args, v1alpha1.WorkspaceJobSpec{RunAt: new(metav1.NewTime(at))}, options)
}

// ContinueWith has a job run once the parent has Succeeded.
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

// Create a job that is described in full. One of a name that is taken is returned as it
// is there if it does the same, and is [ErrKeyUsed] if not.
func (w *Workspace) Create(ctx context.Context, job *v1alpha1.WorkspaceJob) (*v1alpha1.WorkspaceJob, error) {
	made, _, err := w.CreateOnce(ctx, job)
	return made, err
}

// CreateOnce is Create, and reports whether it was this call that made the job.
func (w *Workspace) CreateOnce(ctx context.Context, job *v1alpha1.WorkspaceJob) (made *v1alpha1.WorkspaceJob, created bool, err error) {
	kube, err := w.kube()
	if err != nil {
		return nil, false, err
	}
	job.Namespace = w.namespace
	if job.Name == "" && job.GenerateName == "" {
		job.GenerateName = prefixOf(cmp.Or(job.Spec.Handler, job.Series()))
	}
	// Creates that race for one ResourceQuota are answered with a conflict.
	err = retry.OnError(backoff(), apierrors.IsConflict, func() error {
		made = job.DeepCopy()
		return kube.Create(ctx, made, fieldOwner)
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

// does reports whether what defines the run is the same. What the API server fills in
// where nothing was said is no difference.
func does(found, wanted *v1alpha1.WorkspaceJob) bool {
	a, b := found.Spec, wanted.Spec
	return a.Handler == b.Handler && v1alpha1.SameJSON(a.Args, b.Args) &&
		equality.Semantic.DeepEqual(a.RecurringJobRef, b.RecurringJobRef) &&
		equality.Semantic.DeepEqual(a.Delay, b.Delay) && sameTime(a.RunAt, b.RunAt) &&
		equality.Semantic.DeepEqual(a.After, b.After)
}

// sameTime: the API keeps whole seconds.
func sameTime(a, b *metav1.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Unix() == b.Unix()
}

// Get a job.
func (w *Workspace) Get(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{}
	return job, w.get(ctx, name, job)
}

// Cancel a job: it must not run, or not any more. One that has finished stays as it is.
func (w *Workspace) Cancel(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	return w.patchJob(ctx, name, map[string]any{"cancelled": true})
}

// ErrNotFinished: only a job that has finished can be requeued.
var ErrNotFinished = errors.New("it has not finished")

// Requeue a finished job: it runs again, as a new run. One that is cancelled is so no
// more. One that has not finished is [ErrNotFinished].
func (w *Workspace) Requeue(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	job, err := w.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if !Finished(job) || job.Status.FinishedAt == nil {
		return nil, fmt.Errorf("job %q is %s: %w", name, stateOf(job), ErrNotFinished)
	}
	// The clock here may be behind the one that told the job's end.
	at := time.Now()
	if end := job.Status.FinishedAt.Add(time.Second); at.Before(end) {
		at = end
	}
	return w.RequeueAt(ctx, name, at)
}

// RequeueAt has a finished job run again at this time, which counts in whole seconds.
func (w *Workspace) RequeueAt(ctx context.Context, name string, at time.Time) (*v1alpha1.WorkspaceJob, error) {
	return w.patchJob(ctx, name, map[string]any{"requeueAt": at.UTC().Format(time.RFC3339), "cancelled": nil})
}

func (w *Workspace) patchJob(ctx context.Context, name string, spec map[string]any) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	return job, w.patch(ctx, job, spec)
}

// patch the fields of a spec: nil removes one.
func (w *Workspace) patch(ctx context.Context, object client.Object, spec map[string]any) error {
	kube, err := w.kube()
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return err
	}
	if err := kube.Patch(ctx, object, client.RawPatch(types.MergePatchType, text), fieldOwner); err != nil {
		return fmt.Errorf("change %s %q: %w", kindOf(object), object.GetName(), err)
	}
	return nil
}

// Delete a job, and with it its attempts and their logs. One that is not there is no
// error.
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
