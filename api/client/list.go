package client

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// ListOptions selects jobs and pages through them.
type ListOptions struct {
	// State is the state of the jobs, or "" for any.
	State v1alpha1.JobState
	// Retrying selects jobs that wait for another attempt. They are Scheduled, so together
	// with another State it selects none.
	Retrying bool
	// Handler is the handler that they run, or "" for any.
	Handler string
	// ConcurrencyKey is the key that they have, or "" for any or none.
	ConcurrencyKey string
	// ScheduledBy is the recurring job whose schedule made them, or "" for any or none.
	ScheduledBy string
	// TriggeredOf is the recurring job that they run now, in recurringJobRef, or "" for any or
	// none.
	TriggeredOf string
	// Limit is the size of a page, or 0 for all jobs at once.
	Limit int64
	// Continue is the metadata.continue of the previous page, or "" for the first page.
	Continue string
}

// List returns jobs in the order of their names.
func (w *Workspace) List(ctx context.Context, options ListOptions) (*v1alpha1.WorkspaceJobList, error) {
	kube, err := w.kube()
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.WorkspaceJobList{}
	if err := kube.List(ctx, list, w.selected(options)...); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return list, nil
}

// ListMetadata returns the metadata of jobs, such as names and labels, in the order of their
// names. The API server sends no specs and no statuses.
func (w *Workspace) ListMetadata(ctx context.Context, options ListOptions) (*metav1.PartialObjectMetadataList, error) {
	return w.listMetadata(ctx, "WorkspaceJobList", w.selected(options)...)
}

func (w *Workspace) listMetadata(ctx context.Context, kind string, options ...client.ListOption) (*metav1.PartialObjectMetadataList, error) {
	kube, err := w.kube()
	if err != nil {
		return nil, err
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := kube.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("list the metadata of a %s: %w", kind, err)
	}
	return list, nil
}

// selected returns the options as the API server takes them.
func (w *Workspace) selected(options ListOptions) []client.ListOption {
	selectors := options.fields()
	labels := client.MatchingLabels{}
	if options.ScheduledBy != "" {
		labels[v1alpha1.LabelRecurringJob] = options.ScheduledBy
	}
	return []client.ListOption{
		client.InNamespace(w.namespace), client.MatchingFieldsSelector{Selector: fields.AndSelectors(selectors...)}, labels,
		client.Limit(options.Limit), client.Continue(options.Continue),
	}
}

// runAttempts is the field that counts the attempts of the current run.
const runAttempts = "status.runAttempts"

// fields returns what the jobs' fields must be.
func (o ListOptions) fields() []fields.Selector {
	var all []fields.Selector
	for field, value := range map[string]string{
		"status.state": string(o.State), "spec.handler": o.Handler, "spec.concurrencyKey": o.ConcurrencyKey,
		"spec.recurringJobRef.name": o.TriggeredOf,
	} {
		if value != "" {
			all = append(all, fields.OneTermEqualSelector(field, value))
		}
	}
	if o.Retrying {
		// To the API server a number that is not set is an empty text, not 0.
		all = append(all, fields.OneTermEqualSelector("status.state", string(v1alpha1.StateScheduled)),
			fields.OneTermNotEqualSelector(runAttempts, "0"), fields.OneTermNotEqualSelector(runAttempts, ""))
	}
	return all
}
