// Package dashboard is the pages at /hangfire: jobs, recurring jobs and what runs, for
// people. It reads and does everything with the token that its user signed in with, so
// that the cluster's RBAC decides what is shown and done.
//
// Pages are rendered here; htmx updates what is live in them by server-sent events, and
// all the rest works without scripts.
package dashboard

import (
	"log/slog"
	"math"
	"net/http"
	"strings"

	"github.com/openradius/workspace-jobs/api/auth"
)

// Root of all paths.
const Root = "/hangfire"

// Option of [Handler].
type Option func(*dashboard)

// WithLog is where faults are told that a user can do nothing about; else nowhere.
func WithLog(log *slog.Logger) Option { return func(d *dashboard) { d.log = log } }

// WithStreams sets who may have how many streams open; without it each caller may have
// [auth.StreamsEach], and all of them [auth.StreamsAll].
func WithStreams(streams *auth.Streams) Option { return func(d *dashboard) { d.streams = streams } }

// dashboard serves the pages.
type dashboard struct {
	authenticator *auth.Authenticator
	sessions      *auth.Sessions
	// pages are a session's open ones, streams what a caller has open, here and by REST.
	pages, streams *auth.Streams
	log            *slog.Logger
}

// Handler of everything at and below /hangfire.
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
		d.refuse(w, r, http.StatusForbidden, "This was not sent from a page of this server, so it was not done.")
	}))
	return secured(protection.Handler(d.routes()))
}

// own is below what is no workspace's: none can have this name.
const own = Root + "/-"

// routes: two muxes, for the first path of each could be meant by the other.
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

// policy of what a page may load: this server's own files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets the headers that every answer has.
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
