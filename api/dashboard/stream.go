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
)

const (
	// streamsEach session may have open: a stream is an open page.
	streamsEach = 20
	// settle is how long changes are gathered before a page is rendered again.
	settle = 400 * time.Millisecond
	// look is how often the session and the Workspace are looked at.
	look = 2 * time.Second
	// heartbeat keeps proxies from ending a stream on which nothing happens.
	heartbeat = 15 * time.Second
	// patience with a browser that does not read.
	patience = 30 * time.Second
	// again is the pause before something is tried again.
	again = time.Second
)

const sessionOver = "Your session has ended. Sign in again to go on."

// live is the stream of a page: it sends the page's live part whenever that has changed,
// until the browser leaves or the session ends.
func (d *dashboard) live(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, err := d.userOf(r)
		if errors.Is(err, auth.ErrNoSession) || errors.Is(err, auth.ErrUnauthenticated) {
			// Another status would have the browser ask again and again.
			begin(w).end(sessionOver)
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
		if d.pages.Take(r.Context(), u.session.ID) != nil {
			d.noStream(w, r, u, http.StatusTooManyRequests, "This session has too many open pages that update themselves. Close some.")
			return
		}
		switch err := d.streams.Take(r.Context(), u.caller.Name); {
		case errors.Is(err, auth.ErrOwnStreams):
			d.noStream(w, r, u, http.StatusTooManyRequests, "You have too much open that updates itself: pages, or programs that follow jobs. Close some.")
			return
		case err != nil:
			d.noStream(w, r, u, http.StatusServiceUnavailable, "Too many pages are open that update themselves. This one will when others are closed.")
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		l := &liveStream{d: d, p: p, s: s, out: begin(w), emitted: make(chan event)}
		if message := l.run(ctx); message != gone {
			l.out.end(message)
		}
	}
}

// noStream: all places are taken.
func (d *dashboard) noStream(w http.ResponseWriter, r *http.Request, u *user, status int, message string) {
	w.Header().Set("Retry-After", "60")
	d.refuseTo(w, r, u, status, message)
}

// liveStream is an open stream.
type liveStream struct {
	d       *dashboard
	p       page
	s       *scope
	out     *writer
	emitted chan event
	// told is the companion's ear.
	told func(pageData)
	// sent is the live part as the browser has it, of what version of the Workspace.
	sent      []byte
	workspace string
	announced string
	may       rights
}

// run until ctx ends; it returns why the stream ends.
func (l *liveStream) run(ctx context.Context) string {
	l.told = func(pageData) {}
	var err error
	if l.may, err = l.s.may(ctx); err != nil {
		return sessionOver
	}
	if l.p.companion != nil {
		l.told = l.p.companion(ctx, l.s, l.may, func(e event) {
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
		message = l.follow(ctx, watching)
		watching.stop()
		if message != "" {
			return message
		}
	}
	return gone
}

// refresh renders the live part, and sends it if it has changed.
func (l *liveStream) refresh(ctx context.Context) (pageData, string) {
	workspace, err := l.s.caller.Workspace(ctx, l.s.workspace.Name)
	if err == nil {
		l.s.workspace, l.workspace = workspace, workspace.ResourceVersion
		l.may, err = l.s.may(ctx)
	}
	var data pageData
	if err == nil {
		data, err = l.p.load(ctx, l.s, l.may)
	}
	if err != nil {
		return nil, l.explain(ctx, err)
	}
	data.page().fill(l.d, l.s.user)
	data.page().inScope(l.s, l.p, l.may)
	text, err := renderLive(l.p, data)
	if err != nil {
		l.d.log.Error("a page can't be rendered", "page", l.p.name, "error", err.Error())
		return nil, "This page has a fault; the server's log tells more."
	}
	if string(l.sent) != string(text) {
		if err := l.out.send(event{"live", []byte(text)}); err != nil {
			return nil, gone
		}
		l.sent = []byte(text)
	}
	if !l.announce(data) {
		return nil, gone
	}
	l.told(data)
	return data, ""
}

// announcer has something to say to who does not see the page, when it changes.
type announcer interface{ announcement() string }

// announce what has changed since the page was opened; false: nobody reads any more.
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
	return l.out.send(event{"status", []byte(template.HTMLEscapeString(text))}) == nil
}

// gone: nobody reads any more.
const gone = "gone"

// explain why the live part can't be shown; "": it may be the next time.
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

// follow the watches until one of them ends: then all begins anew.
func (l *liveStream) follow(ctx context.Context, watching watches) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	for _, w := range watching {
		go watchOne(ctx, w, changed, ended)
	}
	looking, beating := time.NewTicker(look), time.NewTicker(heartbeat)
	defer looking.Stop()
	defer beating.Stop()
	for {
		message := ""
		select {
		case <-ctx.Done():
			return gone
		case e := <-l.emitted:
			if l.out.send(e) != nil {
				return gone
			}
		case <-changed:
			if message = l.settled(ctx); message == "" {
				_, message = l.refresh(ctx)
			}
		case <-looking.C:
			message = l.look(ctx)
		case <-beating.C:
			if l.out.beat() != nil {
				return gone
			}
		case <-ended:
			pauseFor(ctx)
			return ""
		}
		if message != "" {
			return message
		}
	}
}

// settled gathers changes; what the companion sends goes on meanwhile.
func (l *liveStream) settled(ctx context.Context) string {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return ""
		case <-ctx.Done():
			return gone
		case e := <-l.emitted:
			if l.out.send(e) != nil {
				return gone
			}
		}
	}
}

// look whether the session goes on, and whether the Workspace has changed.
func (l *liveStream) look(ctx context.Context) string {
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

// watchOne reports that something has changed, and that no more is told of it.
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
