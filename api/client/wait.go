package client

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Wait waits until the job has finished, and returns it; its status.state says how it ended.
// It returns an error if the job is deleted meanwhile or ctx ends.
func (w *Workspace) Wait(ctx context.Context, name string) (*v1alpha1.WorkspaceJob, error) {
	for {
		job, err := w.Get(ctx, name)
		if err != nil || Finished(job) {
			return job, err
		}
		job, err = w.watch(ctx, job)
		if err != nil || job != nil {
			return job, err
		}
	}
}

// Finished reports whether the job's state is final and its status is about its current
// spec.
func Finished(job *v1alpha1.WorkspaceJob) bool {
	return job.Status.State.Final() && job.Status.ObservedGeneration == job.Generation
}

// watch returns nil if the API server ends the watch before the job has finished.
func (w *Workspace) watch(ctx context.Context, job *v1alpha1.WorkspaceJob) (*v1alpha1.WorkspaceJob, error) {
	watcher, err := w.Watch(ctx, WatchOptions{Name: job.Name, ResourceVersion: job.ResourceVersion})
	if err != nil {
		return nil, err
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for job %q, which is %s: %w", job.Name, stateOf(job), ctx.Err())
		case event, open := <-watcher.ResultChan():
			if !open {
				return nil, nil
			}
			if event.Type == watch.Bookmark {
				continue
			}
			switch object := event.Object.(type) {
			case *v1alpha1.WorkspaceJob:
				job = object
				if event.Type == watch.Deleted {
					return nil, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("workspacejobs").GroupResource(), job.Name)
				}
				if Finished(job) {
					return job, nil
				}
			default:
				// The API server no longer has what happened since: get the job again.
				return nil, nil
			}
		}
	}
}

func stateOf(job *v1alpha1.WorkspaceJob) string {
	if job.Status.State == "" {
		return "new"
	}
	return string(job.Status.State)
}
