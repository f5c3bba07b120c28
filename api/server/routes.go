package main

import (
	"log/slog"
	"net/http"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/dashboard"
	"github.com/openradius/workspace-jobs/api/rest"
)

// routes returns everything that is served on the main address.
func routes(authenticator *auth.Authenticator, sessions *auth.Sessions, streams *auth.Streams, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	api := rest.Handler(authenticator, rest.WithLog(log), rest.WithStreams(streams))
	mux.Handle("/api/", api)
	mux.Handle("/openapi.json", api)
	mux.Handle("/openapi.yaml", api)
	pages := dashboard.Handler(authenticator, sessions, dashboard.WithLog(log), dashboard.WithStreams(streams))
	mux.Handle("/hangfire", pages)
	mux.Handle("/hangfire/", pages)
	mux.Handle("GET /{$}", http.RedirectHandler("/hangfire", http.StatusFound))
	return mux
}
