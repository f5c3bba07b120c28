// Package dashboard serves the pages at /hangfire, which show jobs, recurring jobs and
// running pods. It reads and does everything with the token that its user signed in with, so
// the cluster's RBAC decides what is shown and done.
//
// Pages are rendered here. htmx updates their live parts by server-sent events; everything
// else works without scripts.
package dashboard

import (
	"log/slog"
	"math"
	"net/http"
	"strings"

	"github.com/openradius/workspace-jobs/api/auth"
)

// Root is the beginning of all paths.
const Root = "/hangfire"

// Option is an option of [Handler].
type Option func(*dashboard)

// WithLog sets where faults are logged that users can do nothing about; nowhere unless set.
func WithLog(log *slog.Logger) Option { return func(d *dashboard) { d.log = log } }

// WithStreams sets how many streams may be open: unless set, [auth.StreamsEach] for each
// caller and [auth.StreamsAll] in total.
func WithStreams(streams *auth.Streams) Option { return func(d *dashboard) { d.streams = streams } }

// dashboard serves the pages.
type dashboard struct {
	authenticator *auth.Authenticator
	sessions      *auth.Sessions
	// pages limits a session's open pages, and streams what a caller has open here and by REST.
	pages, streams *auth.Streams
	log            *slog.Logger
}

// Handler serves everything at and below /hangfire.
func Handler(authenticator *auth.Authenticator, sessions *auth.Sessions, options ...Option) http.Handler {
	d := &dashboard{
		authenticator: authenticator, sessions: sessions, log: slog.New(slog.DiscardHandler),
		pages: auth.NewStreams(streamsEach, math.MaxInt), streams: auth.NewStreams(auth.StreamsEach, auth.StreamsAll),
	}
	for _, option := range options {
		option(d)
	}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.refuse(w, r, http.StatusForbidden, "This was not sent from a page of this server, so nothing was done.")
	}))
	return secured(protection.Handler(d.routes()))
}

// own is the beginning of the paths outside workspaces. No workspace can have this name.
const own = Root + "/-"

// routes has two muxes, since some paths of one would also match the other.
func (d *dashboard) routes() http.Handler {
	apart, pages := d.ownRoutes(), d.workspaceRoutes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, own+"/") {
			apart.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

func (d *dashboard) ownRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+own+"/static/{version}/{file...}", serveStatic)
	mux.HandleFunc("GET "+own+"/sign-in", d.signInPage)
	mux.HandleFunc("POST "+own+"/sign-in", d.signIn)
	mux.HandleFunc("POST "+own+"/sign-out", d.signOut)
	mux.HandleFunc("GET "+own+"/switch", d.user(d.switchWorkspace))
	mux.HandleFunc(own+"/", d.user(d.noPage))
	return mux
}

func (d *dashboard) workspaceRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Root, d.user(d.home))
	mux.HandleFunc("GET "+Root+"/{$}", d.user(d.home))
	for path, p := range pages() {
		mux.HandleFunc("GET "+Root+"/{workspace}"+path, d.user(d.onPage(d.show(p))))
		if p.watch != nil {
			mux.HandleFunc("GET "+Root+"/{workspace}/live"+path, d.live(p))
		}
	}
	for path, handle := range map[string]scopeHandler{
		"/jobs/{job}/attempts/{attempt}/log": d.logText,
		"/recurring/{recurring}/preview":     d.preview,
	} {
		mux.HandleFunc("GET "+Root+"/{workspace}"+path, d.user(d.inWorkspace(handle)))
	}
	mux.HandleFunc("GET "+Root+"/{workspace}/search", d.user(d.onPage(d.search)))
	for path, a := range actions() {
		mux.HandleFunc("POST "+Root+"/{workspace}"+path, d.user(d.inWorkspace(d.act(a))))
	}
	mux.HandleFunc(Root+"/", d.user(d.noPage))
	return mux
}

const noSuchPage = "There is no such page."

// policy lets a page load only this server's own files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets the headers of every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
