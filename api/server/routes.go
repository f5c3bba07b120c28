package main

import (
	"net/http"

	"github.com/openradius/workspace-jobs/api/auth"
)

// routes are all that is served on the main address.
func routes(authenticator *auth.Authenticator, sessions *auth.Sessions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/hangfire", http.StatusFound))
	return mux
}
