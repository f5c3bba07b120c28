package client

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// WatchOptions selects what is watched, and from when on.
type WatchOptions struct {
	// Name is the name of one job, or "" for all.
	Name string
	// ResourceVersion is the version, of a job or of a list, after which changes are reported. ""
	// begins with all jobs as they are.
	ResourceVersion string
}

// Watch watches jobs until ctx ends or the API server ends the watch, which it does after a
// while. Each event has a [v1alpha1.WorkspaceJob]; that of a Bookmark has only a resource
// version, and apierrors.FromObject reads an Error.
func (w *Workspace) Watch(ctx context.Context, options WatchOptions) (watch.Interface, error) {
	return w.watchList(ctx, &v1alpha1.WorkspaceJobList{}, options)
}

// WatchRecurring watches recurring jobs as [Workspace.Watch] does jobs.
func (w *Workspace) WatchRecurring(ctx context.Context, options WatchOptions) (watch.Interface, error) {
	return w.watchList(ctx, &v1alpha1.WorkspaceRecurringJobList{}, options)
}

func (w *Workspace) watchList(ctx context.Context, list client.ObjectList, options WatchOptions) (watch.Interface, error) {
	kube, err := w.kube()
	if err != nil {
		return nil, err
	}
	raw := &metav1.ListOptions{ResourceVersion: options.ResourceVersion, AllowWatchBookmarks: true}
	if options.Name != "" {
		raw.FieldSelector = "metadata.name=" + options.Name
	}
	watcher, err := kube.Watch(ctx, list, &client.ListOptions{Namespace: w.namespace, Raw: raw})
	if err != nil {
		return nil, fmt.Errorf("watch jobs: %w", err)
	}
	return watcher, nil
}
