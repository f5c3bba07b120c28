package rest

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// retryWatch is how long to wait before a watch is tried again that could not begin.
const retryWatch = time.Second

// following is one stream of events: of a job, or with name "" of a workspace's.
type following struct {
	*server
	*call
	workspace *v1alpha1.Workspace
	name      string
	// position is the resource version after which changes are to be told.
	position string
	// now is the job as it is, to be told first; nil: nothing is.
	now *v1alpha1.WorkspaceJob

	stream  *stream.Writer
	watcher watch.Interface
}

// watchJobs is the right that a stream of events takes.
var watchJobs = auth.Right{Verb: "watch", Resource: "workspacejobs"}

// errOver: the stream has ended, and its client was told.
var errOver = errors.New("the stream is over")

// watch begins a stream, or says why there is none.
func (s *server) watch(ctx context.Context, f *following) (*huma.StreamResponse, error) {
	if f.position != "" && !resourceVersion.MatchString(f.position) {
		return nil, refused("header.Last-Event-ID", "this is no id of an event of this stream")
	}
	if f.position == "" {
		if err := f.locate(ctx); err != nil {
			return nil, err
		}
	}
	if err := f.open(ctx); err != nil && !tooOld(err) {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		_, w := humago.Unwrap(answer)
		f.stream = stream.Begin(w, stream.Events)
		f.follow(answer.Context())
	}}, nil
}

func (f *following) jobs() *client.Workspace { return f.caller.In(f.workspace.Status.Namespace) }

// locate finds the position of now, and what is there.
func (f *following) locate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if f.name != "" {
		job, err := f.jobs().Get(ctx, f.name)
		if err != nil {
			return err
		}
		f.now, f.position = job, job.ResourceVersion
		return nil
	}
	list, err := f.jobs().List(ctx, client.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	f.position = list.ResourceVersion
	return nil
}

func (f *following) open(ctx context.Context) error {
	var err error
	f.watcher, err = f.jobs().Watch(ctx, client.WatchOptions{Name: f.name, ResourceVersion: f.position})
	return err
}

// follow until the client has gone, or may not see any more what it follows.
func (f *following) follow(ctx context.Context) {
	beat := time.NewTicker(f.heartbeat)
	defer beat.Stop()
	err := f.greet()
	for err == nil {
		if f.watcher == nil {
			err = f.reopen(ctx, beat)
			continue
		}
		err = f.relay(ctx, beat)
		f.watcher.Stop()
		f.watcher = nil
	}
	if f.watcher != nil {
		f.watcher.Stop()
	}
}

func (f *following) greet() error {
	if f.now == nil {
		return f.stream.Position(f.position)
	}
	return f.tell("Changed", f.now)
}

// reopen a watch that has ended, as each does after some while.
func (f *following) reopen(ctx context.Context, beat *time.Ticker) error {
	err := f.open(ctx)
	if err == nil {
		return nil
	}
	f.watcher = nil
	if tooOld(err) {
		return f.reset(ctx)
	}
	if refusedForGood(err) {
		return f.over(err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-beat.C:
		return f.beat(ctx)
	case <-time.After(retryWatch):
		return nil
	}
}

// relay what the watch tells, until it ends.
func (f *following) relay(ctx context.Context, beat *time.Ticker) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			if err := f.beat(ctx); err != nil {
				return err
			}
		case event, open := <-f.watcher.ResultChan():
			if !open {
				return nil
			}
			if event.Type == watch.Error {
				return f.watchFailed(ctx, apierrors.FromObject(event.Object))
			}
			if err := f.relayed(event); err != nil {
				return err
			}
		}
	}
}

func (f *following) relayed(event watch.Event) error {
	job, ok := event.Object.(*v1alpha1.WorkspaceJob)
	if !ok {
		return nil
	}
	switch event.Type {
	case watch.Bookmark:
		f.position = job.ResourceVersion
		return f.stream.Position(f.position)
	case watch.Added:
		return f.tell("Created", job)
	case watch.Modified:
		return f.tell("Changed", job)
	case watch.Deleted:
		return f.tell("Removed", job)
	}
	return nil
}

func (f *following) tell(kind string, job *v1alpha1.WorkspaceJob) error {
	view := viewOfJob(f.workspace.Name, job)
	f.position = job.ResourceVersion
	return f.stream.SendJSON("job", f.position, JobEvent{
		Type: kind, Name: view.Name, Workspace: view.Workspace, Handler: view.Handler, RecurringJob: view.RecurringJob,
		State: view.State, Message: view.Message, Run: view.Run, Attempts: len(view.Attempts), Link: view.Links.Self,
	})
}

func (f *following) watchFailed(ctx context.Context, err error) error {
	if tooOld(err) {
		return f.reset(ctx)
	}
	if refusedForGood(err) {
		return f.over(err)
	}
	return nil
}

// reset: the API server has forgotten what came after the position. What was missed can't
// be told, but that it was.
func (f *following) reset(ctx context.Context) error {
	err := f.locate(ctx)
	if refusedForGood(err) {
		return f.over(err)
	}
	if err != nil {
		return nil // the API server is not there: the next try finds the position too old again
	}
	if err := f.stream.SendJSON("reset", f.position, struct{}{}); err != nil {
		return err
	}
	return f.greet()
}

// beat shows that the stream lives, if its caller may still have it: a watch goes on when
// its token is revoked.
func (f *following) beat(ctx context.Context) error {
	if err := f.caller.StillMay(ctx, f.workspace.Status.Namespace, watchJobs); err != nil {
		return f.over(err)
	}
	return f.stream.Beat()
}

// over tells the client so, and why.
func (f *following) over(err error) error {
	switch {
	case errors.Is(err, auth.ErrUnauthenticated), apierrors.IsUnauthorized(err):
		f.authenticator.Forget(f.token)
		end(f.stream, auth.ErrUnauthenticated.Error())
	case apierrors.IsNotFound(err):
		end(f.stream, "the job is not there any more")
	default:
		end(f.stream, auth.ErrRevoked.Error())
	}
	return errOver
}

// tooOld: there is nothing any more, or not yet, after this position.
func tooOld(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

func refusedForGood(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err)
}
