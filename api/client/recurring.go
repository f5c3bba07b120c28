package client

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// AddOrUpdateRecurring creates or updates a recurring job. schedule is five fields, a macro,
// or a schedule of package cron. In an update, fields that this package set before and that
// are not given now get their defaults again; fields that others set stay.
func (w *Workspace) AddOrUpdateRecurring(ctx context.Context, id, handler string, args any, schedule string, options ...RecurringOption) (*v1alpha1.WorkspaceRecurringJob, error) {
	encoded, err := encode(args)
	if err != nil {
		return nil, err
	}
	recurring := &v1alpha1.WorkspaceRecurringJob{
		ObjectMeta: metav1.ObjectMeta{Name: id},
		Spec:       v1alpha1.WorkspaceRecurringJobSpec{Schedule: schedule, Template: v1alpha1.JobTemplate{Handler: handler, Args: encoded}},
	}
	for _, option := range options {
		option.recurring(recurring)
	}
	return w.ApplyRecurring(ctx, recurring)
}

// ApplyRecurring is AddOrUpdateRecurring for the full description of a recurring job.
func (w *Workspace) ApplyRecurring(ctx context.Context, recurring *v1alpha1.WorkspaceRecurringJob) (*v1alpha1.WorkspaceRecurringJob, error) {
	kube, err := w.kube()
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(recurring)
	if err != nil {
		return nil, fmt.Errorf("encode recurring job %q: %w", recurring.Name, err)
	}
	// {} would be applied as null, which is not an object. To a handler, no arguments are the
	// same.
	if args, there, err := unstructured.NestedMap(content, "spec", "template", "args"); err == nil && there && len(args) == 0 {
		unstructured.RemoveNestedField(content, "spec", "template", "args")
	}
	config := &unstructured.Unstructured{}
	err = w.signed(ctx, func(author string) error {
		config.Object = map[string]any{"spec": content["spec"]}
		config.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"))
		config.SetNamespace(w.namespace)
		config.SetName(recurring.Name)
		config.SetLabels(recurring.Labels)
		config.SetAnnotations(w.creation(ctx, recurring.Name, author))
		return kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(config), fieldOwner, client.ForceOwnership)
	})
	if err != nil {
		return nil, fmt.Errorf("apply recurring job %q: %w", recurring.Name, err)
	}
	applied := &v1alpha1.WorkspaceRecurringJob{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(config.Object, applied); err != nil {
		return nil, fmt.Errorf("read recurring job %q: %w", recurring.Name, err)
	}
	return applied, nil
}

// creation returns the annotation that says who created a recurring job: the author, if it does
// not exist yet. What this package has applied before has to be applied again, or it goes.
func (w *Workspace) creation(ctx context.Context, name, author string) map[string]string {
	current, err := w.GetRecurring(ctx, name)
	if err == nil {
		author = current.Annotations[v1alpha1.AnnotationCreatedBy]
	}
	if author == "" || client.IgnoreNotFound(err) != nil {
		return nil
	}
	return map[string]string{v1alpha1.AnnotationCreatedBy: author}
}

// RemoveRecurring deletes a recurring job with its runs. It returns nil if there is no such
// recurring job.
func (w *Workspace) RemoveRecurring(ctx context.Context, id string) error {
	return w.delete(ctx, &v1alpha1.WorkspaceRecurringJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: id}})
}

// Trigger runs a recurring job now, whatever its schedule says. Its concurrency policy
// applies.
func (w *Workspace) Trigger(ctx context.Context, id string, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	job := &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: prefixOf(id)},
		Spec:       v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: id}},
	}
	for _, option := range options {
		option.job(job)
	}
	return w.Create(ctx, job)
}

// GetRecurring returns a recurring job.
func (w *Workspace) GetRecurring(ctx context.Context, id string) (*v1alpha1.WorkspaceRecurringJob, error) {
	recurring := &v1alpha1.WorkspaceRecurringJob{}
	return recurring, w.get(ctx, id, recurring)
}

// ListRecurring returns recurring jobs in the order of their names. limit is the size of a
// page, 0 for all at once, and next the metadata.continue of the previous page.
func (w *Workspace) ListRecurring(ctx context.Context, limit int64, next string) (*v1alpha1.WorkspaceRecurringJobList, error) {
	kube, err := w.kube()
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.WorkspaceRecurringJobList{}
	if err := kube.List(ctx, list, client.InNamespace(w.namespace), client.Limit(limit), client.Continue(next)); err != nil {
		return nil, fmt.Errorf("list recurring jobs: %w", err)
	}
	return list, nil
}

// ListRecurringMetadata is ListRecurring for the metadata only.
func (w *Workspace) ListRecurringMetadata(ctx context.Context, limit int64, next string) (*metav1.PartialObjectMetadataList, error) {
	return w.listMetadata(ctx, "WorkspaceRecurringJobList", client.InNamespace(w.namespace), client.Limit(limit), client.Continue(next))
}

// PauseRecurring pauses a schedule: no run becomes due until ResumeRecurring. The recurring
// job can still be triggered.
func (w *Workspace) PauseRecurring(ctx context.Context, id string) (*v1alpha1.WorkspaceRecurringJob, error) {
	return w.patchRecurring(ctx, id, map[string]any{"suspend": true}, "suspend", v1alpha1.AnnotationSuspendedBy)
}

// ResumeRecurring ends a pause.
func (w *Workspace) ResumeRecurring(ctx context.Context, id string) (*v1alpha1.WorkspaceRecurringJob, error) {
	return w.patchRecurring(ctx, id, map[string]any{"suspend": nil}, "suspend", v1alpha1.AnnotationResumedBy)
}

// Reschedule changes when a recurring job runs. zone "" leaves its time zone as it is.
func (w *Workspace) Reschedule(ctx context.Context, id, schedule, zone string) (*v1alpha1.WorkspaceRecurringJob, error) {
	spec := map[string]any{"schedule": schedule}
	if zone != "" {
		spec["timeZone"] = zone
	}
	return w.patchRecurring(ctx, id, spec, "", "")
}

func (w *Workspace) patchRecurring(ctx context.Context, id string, spec map[string]any, field, annotation string) (*v1alpha1.WorkspaceRecurringJob, error) {
	recurring := &v1alpha1.WorkspaceRecurringJob{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: id}}
	return recurring, w.change(ctx, recurring, spec, field, annotation)
}
