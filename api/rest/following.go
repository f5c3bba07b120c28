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

// retryWatch is how long to wait before a watch that could not begin is tried again.
const retryWatch = time.Second

// following is one stream of events: of one job, or with name "" of all jobs of a workspace.
type following struct {
	*server
	*call
	workspace *v1alpha1.Workspace
	name      string
	// position is the resource version after which changes are sent.
	position string
	// now is the job as it is, which is sent first; nil: nothing is.
	now *v1alpha1.WorkspaceJob

	stream  *stream.Writer
	watcher watch.Interface
}

// watchJobs is the right that a stream of events takes.
var watchJobs = auth.Right{Verb: "watch", Resource: "workspacejobs"}

// errOver is returned when the stream has ended and its client knows why.
var errOver = errors.New("the stream is over")

// watch begins a stream, or returns why there is none.
func (s *server) watch(ctx context.Context, f *following) (*huma.StreamResponse, error) {
	if f.position != "" && !resourceVersion.MatchString(f.position) {
		return nil, refused("header.Last-Event-ID", "this is not an id of an event of this stream")
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
		f.follow(ctx)
		comeBack(ctx, f.stream)
	}}, nil
}

func (f *following) jobs() *client.Workspace { return f.caller.In(f.workspace.Status.Namespace) }

// locate finds the current position, and the job as it is.
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

// follow sends events until the client has gone or has lost the right to them.
func (f *following) follow(ctx context.Context) {
	beat := time.NewTicker(f.heartbeat)
	defer beat.Stop()
	err := f.first()
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

// first sends the job as it is, or the position to resume from.
func (f *following) first() error {
	if f.now == nil {
		return f.stream.Position(f.position)
	}
	return f.sendJob("Changed", f.now)
}

// reopen opens the watch again, since the API server ends each after a while.
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

// relay sends what the watch reports until it ends.
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
			if err := f.send(event); err != nil {
				return err
			}
		}
	}
}

func (f *following) send(event watch.Event) error {
	job, ok := event.Object.(*v1alpha1.WorkspaceJob)
	if !ok {
		return nil
	}
	switch event.Type {
	case watch.Bookmark:
		f.position = job.ResourceVersion
		return f.stream.Position(f.position)
	case watch.Added:
		return f.sendJob("Created", job)
	case watch.Modified:
		return f.sendJob("Changed", job)
	case watch.Deleted:
		return f.sendJob("Removed", job)
	}
	return nil
}

func (f *following) sendJob(kind string, job *v1alpha1.WorkspaceJob) error {
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

// reset reports that changes were missed: the API server no longer has those after the
// position.
func (f *following) reset(ctx context.Context) error {
	err := f.locate(ctx)
	if refusedForGood(err) {
		return f.over(err)
	}
	if err != nil {
		return nil // the API server does not answer: the next try finds the position too old again
	}
	if err := f.stream.SendJSON("reset", f.position, struct{}{}); err != nil {
		return err
	}
	return f.first()
}

// beat shows that the stream is alive, if its caller still has the right to it. A watch
// outlives the token that began it.
func (f *following) beat(ctx context.Context) error {
	if err := f.caller.StillMay(ctx, f.workspace.Status.Namespace, watchJobs); err != nil {
		return f.over(err)
	}
	return f.stream.Beat()
}

// over ends the stream with the reason.
func (f *following) over(err error) error {
	switch {
	case errors.Is(err, auth.ErrUnauthenticated), apierrors.IsUnauthorized(err):
		f.authenticator.Forget(f.token)
		end(f.stream, auth.ErrUnauthenticated.Error())
	case apierrors.IsNotFound(err):
		end(f.stream, "the job was deleted")
	default:
		end(f.stream, auth.ErrRevoked.Error())
	}
	return errOver
}

// tooOld reports whether the API server can't continue from the position.
func tooOld(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// refusedForGood reports whether trying again is useless.
func refusedForGood(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err)
}
