package dashboard

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// watches report changes of what a page shows.
type watches []watch.Interface

func (w watches) stop() {
	for _, each := range w {
		each.Stop()
	}
}

// versioned data has the resource version that it shows.
type versioned interface{ version() string }

func versionOf(data pageData) string {
	if v, ok := data.(versioned); ok {
		return v.version()
	}
	return ""
}

// watchNothing is for a page that shows only the Workspace, which every stream checks.
func watchNothing(context.Context, *scope, pageData) (watches, error) { return nil, nil }

func watchJobs(ctx context.Context, s *scope, data pageData) (watches, error) {
	return one(s.jobs.Watch(ctx, client.WatchOptions{ResourceVersion: versionOf(data)}))
}

func watchJob(ctx context.Context, s *scope, data pageData) (watches, error) {
	return one(s.jobs.Watch(ctx, client.WatchOptions{Name: s.request.PathValue("job"), ResourceVersion: versionOf(data)}))
}

func watchRecurringJobs(ctx context.Context, s *scope, data pageData) (watches, error) {
	return one(s.jobs.WatchRecurring(ctx, client.WatchOptions{ResourceVersion: versionOf(data)}))
}

// watchRecurringJob watches one recurring job, which changes whenever a run begins or ends.
func watchRecurringJob(ctx context.Context, s *scope, data pageData) (watches, error) {
	return one(s.jobs.WatchRecurring(ctx, client.WatchOptions{Name: s.request.PathValue("recurring"), ResourceVersion: versionOf(data)}))
}

func watchPods(ctx context.Context, s *scope, data pageData) (watches, error) {
	return one(s.caller.Kubernetes().CoreV1().Pods(s.namespace()).Watch(ctx, metav1.ListOptions{
		LabelSelector: v1alpha1.LabelJob, ResourceVersion: versionOf(data), AllowWatchBookmarks: true,
	}))
}

func one(w watch.Interface, err error) (watches, error) {
	if err != nil {
		return nil, err
	}
	return watches{w}, nil
}

// watchOne reports that something has changed, and the end of the watch.
func watchOne(ctx context.Context, w watch.Interface, changed, ended chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-w.ResultChan():
			if !open || e.Type == watch.Error {
				select {
				case ended <- struct{}{}:
				default:
				}
				return
			}
			if e.Type == watch.Bookmark {
				continue
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}
