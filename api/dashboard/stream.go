package dashboard

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/stream"
)

const (
	// streamsEach is how many streams, which are open pages, a session may have.
	streamsEach = 20
	// refreshDelay is how long changes are gathered before a page is rendered again.
	refreshDelay = 400 * time.Millisecond
	// recheck is how often a stream checks its session, its Workspace and, for a log, the
	// right to it.
	recheck = 2 * time.Second
	// roomAfter is when a browser whose stream made room for another workspace's comes back.
	roomAfter = 30 * time.Second
	// retryDelay is the pause before something is tried again.
	retryDelay = time.Second
)

const sessionOver = "Your session has ended. Sign in again to continue."

// live is the stream of a page: it sends the page's live part whenever that has changed,
// until the browser leaves or the session ends.
func (d *dashboard) live(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, err := d.userOf(r)
		if errors.Is(err, auth.ErrNoSession) || errors.Is(err, auth.ErrUnauthenticated) {
			// With another status the browser would ask again and again.
			endLive(stream.Begin(w, stream.Events), sessionOver)
			return
		}
		if err != nil {
			d.unavailable(w, r, err)
			return
		}
		s, err := newScope(r, u)
		if err != nil {
			d.fail(w, r, u, err)
			return
		}
		ctx, err := d.pages.Take(r.Context(), s.workspace.Name, u.session.ID)
		if err != nil {
			d.noStream(w, r, u, http.StatusTooManyRequests, "This session has too many open pages that update themselves. Close some.")
			return
		}
		ctx, ok := d.takeStream(ctx, w, s)
		if !ok {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		out := stream.Begin(w, stream.Events)
		defer out.KeepAlive(stream.Heartbeat, cancel)()
		l := &liveStream{d: d, p: p, s: s, out: out, emitted: make(chan stream.Event)}
		message := l.run(ctx)
		switch {
		case errors.Is(context.Cause(ctx), auth.ErrMadeRoom):
			_ = out.Retry(roomAfter) // a browser that has gone away does not come back
		case message != gone:
			endLive(out, message)
		}
	}
}

// takeStream takes one of the streams that a caller may have open, or answers why there is
// none. The stream must end with the context.
func (d *dashboard) takeStream(ctx context.Context, w http.ResponseWriter, s *scope) (context.Context, bool) {
	ctx, err := d.streams.Take(ctx, s.workspace.Name, s.caller.Name)
	switch {
	case errors.Is(err, auth.ErrOwnStreams):
		d.noStream(w, s.request, s.user, http.StatusTooManyRequests, "You have too many streams open: pages that update themselves, logs, or programs that follow jobs. Close some.")
	case err != nil:
		d.noStream(w, s.request, s.user, http.StatusServiceUnavailable, "The server has as many streams open as it can hold. Try again when other pages have been closed.")
	}
	return ctx, err == nil
}

func (d *dashboard) noStream(w http.ResponseWriter, r *http.Request, u *user, status int, message string) {
	w.Header().Set("Retry-After", "60")
	d.refuseTo(w, r, u, status, message)
}

// endLive shows the page's user why nothing more comes, and keeps the browser from
// reconnecting.
func endLive(out *stream.Writer, message string) {
	text, err := render("live-ended", message)
	if err == nil && out.Send(stream.Event{Name: "live", Data: text}) == nil {
		_ = out.Send(stream.Event{Name: "end", Data: []byte("end")})
	}
}

// liveStream is an open stream.
type liveStream struct {
	d       *dashboard
	p       page
	s       *scope
	out     *stream.Writer
	emitted chan stream.Event
	// loaded tells the companion what the page shows now.
	loaded func(pageData)
	// sent is the live part as the browser has it, and workspace the version of the
	// Workspace that it shows; "" before the first.
	sent      []byte
	workspace string
	announced string
	may       rights
}

// run sends until ctx ends; it returns why the stream ends.
func (l *liveStream) run(ctx context.Context) string {
	l.loaded = func(pageData) {}
	if l.p.companion != nil {
		l.loaded = l.p.companion(ctx, l.s, func(e stream.Event) {
			select {
			case l.emitted <- e:
			case <-ctx.Done():
			}
		})
	}
	for ctx.Err() == nil {
		data, message := l.refresh(ctx)
		if message != "" {
			return message
		}
		if data == nil {
			continue
		}
		watching, err := l.p.watch(ctx, l.s, data)
		if err != nil {
			pauseFor(ctx)
			continue
		}
		if message = l.follow(ctx, watching); message != "" {
			return message
		}
	}
	return gone
}

// refresh renders the live part, and sends it if it has changed.
func (l *liveStream) refresh(ctx context.Context) (pageData, string) {
	data, err := l.load(ctx)
	if err != nil {
		return nil, l.explain(ctx, err)
	}
	data.page().fill(l.d, l.s.user)
	data.page().inScope(l.s, l.p, l.may)
	text, err := renderLive(l.p, data)
	if err != nil {
		l.d.log.Error("a page can't be rendered", "page", l.p.name, "error", err.Error())
		return nil, pageFault
	}
	if string(l.sent) != string(text) {
		if err := l.out.Send(stream.Event{Name: "live", Data: []byte(text)}); err != nil {
			return nil, gone
		}
		l.sent = []byte(text)
	}
	if !l.announce(data) {
		return nil, gone
	}
	l.loaded(data)
	return data, ""
}

// load reads what the page shows. The request has just found its Workspace, so that is read
// again only from the second time on.
func (l *liveStream) load(ctx context.Context) (pageData, error) {
	if l.workspace != "" {
		workspace, err := l.s.caller.Workspace(ctx, l.s.workspace.Name)
		if err != nil {
			return nil, err
		}
		l.s.workspace = workspace
	}
	l.workspace = l.s.workspace.ResourceVersion
	may, err := l.s.may(ctx)
	if err != nil {
		return nil, err
	}
	l.may = may
	return l.p.load(ctx, l.s, may)
}

// announcer has something for screen readers to say when it changes.
type announcer interface{ announcement() string }

// announce sends what has changed since the page was opened. It returns false if nobody reads
// any more.
func (l *liveStream) announce(data pageData) bool {
	page, ok := data.(announcer)
	if !ok {
		return true
	}
	text, before := page.announcement(), l.announced
	l.announced = text
	if before == "" || before == text {
		return true
	}
	return l.out.Send(stream.Event{Name: "status", Data: []byte(template.HTMLEscapeString(text))}) == nil
}

// gone is the reason for ending a stream that nobody reads any more.
const gone = "gone"

// explain returns why the live part can't be shown; "" if trying again may help.
func (l *liveStream) explain(ctx context.Context, err error) string {
	switch {
	case ctx.Err() != nil:
		return gone
	case errors.Is(err, auth.ErrUnauthenticated), apierrors.IsUnauthorized(err):
		l.d.authenticator.Forget(l.s.session.Token)
		return sessionOver
	case errors.Is(err, auth.ErrNoWorkspace), apierrors.IsNotFound(err), apierrors.IsForbidden(err), errors.Is(err, errNotAllowed):
		_, message := explain(err)
		return message
	default:
		pauseFor(ctx)
		return ""
	}
}

// follow refreshes the page whenever the watch reports a change, until the watch ends. It may
// be nil.
func (l *liveStream) follow(ctx context.Context, watching watch.Interface) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	if watching != nil {
		defer watching.Stop()
		go relay(ctx, watching, changed, ended)
	}
	checking := time.NewTicker(recheck)
	defer checking.Stop()
	for {
		message := ""
		select {
		case <-ctx.Done():
			return gone
		case e := <-l.emitted:
			if l.out.Send(e) != nil {
				return gone
			}
		case <-changed:
			if message = l.gather(ctx); message == "" {
				_, message = l.refresh(ctx)
			}
		case <-checking.C:
			message = l.check(ctx)
		case <-ended:
			pauseFor(ctx)
			return ""
		}
		if message != "" {
			return message
		}
	}
}

// gather waits for more changes. What the companion sends is passed on meanwhile.
func (l *liveStream) gather(ctx context.Context) string {
	timer := time.NewTimer(refreshDelay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return ""
		case <-ctx.Done():
			return gone
		case e := <-l.emitted:
			if l.out.Send(e) != nil {
				return gone
			}
		}
	}
}

// check ends the stream with its session, and refreshes it if the Workspace has changed.
func (l *liveStream) check(ctx context.Context) string {
	if l.d.over(ctx, l.s.request, l.s.user) {
		return sessionOver
	}
	workspace, err := l.s.caller.Workspace(ctx, l.s.workspace.Name)
	if err == nil && workspace.ResourceVersion == l.workspace {
		return ""
	}
	_, message := l.refresh(ctx)
	return message
}
