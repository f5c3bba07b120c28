package dashboard

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// versioned data has the resource version that it shows.
type versioned interface{ version() string }

func versionOf(data pageData) string {
	if v, ok := data.(versioned); ok {
		return v.version()
	}
	return ""
}

// watchNothing is for a page that shows only the Workspace, which every stream checks. It
// returns no watch.
func watchNothing(context.Context, *scope, pageData) (watch.Interface, error) { return nil, nil }

func watchJobs(ctx context.Context, s *scope, data pageData) (watch.Interface, error) {
	return s.jobs.Watch(ctx, client.WatchOptions{ResourceVersion: versionOf(data)})
}

func watchJob(ctx context.Context, s *scope, data pageData) (watch.Interface, error) {
	return s.jobs.Watch(ctx, client.WatchOptions{Name: s.request.PathValue("job"), ResourceVersion: versionOf(data)})
}

func watchRecurringJobs(ctx context.Context, s *scope, data pageData) (watch.Interface, error) {
	return s.jobs.WatchRecurring(ctx, client.WatchOptions{ResourceVersion: versionOf(data)})
}

// watchRecurringJob watches one recurring job, which changes whenever a run begins or ends.
func watchRecurringJob(ctx context.Context, s *scope, data pageData) (watch.Interface, error) {
	return s.jobs.WatchRecurring(ctx, client.WatchOptions{Name: s.request.PathValue("recurring"), ResourceVersion: versionOf(data)})
}

func watchPods(ctx context.Context, s *scope, data pageData) (watch.Interface, error) {
	return s.caller.Pods(s.namespace()).Watch(ctx, metav1.ListOptions{
		LabelSelector: v1alpha1.LabelJob, ResourceVersion: versionOf(data), AllowWatchBookmarks: true,
	})
}

// relay reports that something has changed, and the end of the watch.
func relay(ctx context.Context, w watch.Interface, changed, ended chan<- struct{}) {
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
