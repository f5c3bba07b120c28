package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/openradius/workspace-jobs/api/auth"
)

const (
	workspaceHeader = "X-Workspace"
	keyHeader       = "Idempotency-Key"
)

var (
	// workspaceName matches what the API server accepts.
	workspaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$`)
	// idempotencyKey matches printable ASCII without spaces around it.
	idempotencyKey = regexp.MustCompile(`^[!-~]([ -~]{0,253}[!-~])?$`)
)

// call is what is known about a request before its operation begins.
type call struct {
	caller *auth.Caller
	token  string
	// workspace is that of the header X-Workspace, or "".
	workspace string
	// key is that of the header Idempotency-Key, or "".
	key string
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		panic("an operation was not served through guarded")
	}
	return c
}

// guarded serves requests that are well formed and whose caller the cluster knows.
func (s *server) guarded(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
			c, err := s.admit(r)
			if err == nil {
				err = readBody(w, r)
			}
			if err != nil {
				writeProblem(w, s.problem(c, err))
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			noRoute(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// admit finds out who sends a request. Its headers and query must have only one meaning.
func (s *server) admit(r *http.Request) (*call, error) {
	c := &call{workspace: r.Header.Get(workspaceHeader), key: r.Header.Get(keyHeader)}
	for _, header := range []string{"Authorization", workspaceHeader, keyHeader, "Last-Event-Id"} {
		if len(r.Header.Values(header)) > 1 {
			return c, refused("header."+header, "the header "+header+" was sent more than once: send it once")
		}
	}
	if _, there := r.Header[workspaceHeader]; there && !workspaceName.MatchString(c.workspace) {
		return c, refused("header."+workspaceHeader, "the header X-Workspace must be the name of one workspace: lower-case letters, digits and '-'")
	}
	if _, there := r.Header[keyHeader]; there && !idempotencyKey.MatchString(c.key) {
		return c, refused("header."+keyHeader, "the header Idempotency-Key must have 1 to 255 printable ASCII characters")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return c, refused("query", "the query can't be read: "+err.Error())
	}
	for name, values := range query {
		if len(values) > 1 {
			return c, refused("query."+name, "the parameter was sent more than once: send it once")
		}
	}
	c.token = auth.Bearer(r)
	ctx, cancel := context.WithTimeout(r.Context(), callLimit)
	defer cancel()
	c.caller, err = s.authenticator.Caller(ctx, c.token)
	return c, err
}

// readBody reads the whole body, within its limit, before anything is done with it.
func readBody(w http.ResponseWriter, r *http.Request) error {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newProblem(http.StatusRequestEntityTooLarge, "a body may have at most 256 KiB, and a job's args 64 KiB: store the data in the database and pass its key")
	}
	if err != nil {
		return newProblem(http.StatusBadRequest, "the body did not arrive completely")
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	return nil
}

// noRoute answers as the mux would, with a problem.
func noRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	answer := &headOnly{header: http.Header{}}
	mux.ServeHTTP(answer, r)
	if allowed := answer.header.Get("Allow"); allowed != "" {
		w.Header().Set("Allow", allowed)
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, "this route allows "+allowed))
		return
	}
	writeProblem(w, newProblem(http.StatusNotFound, "there is no such route: see /openapi.yaml"))
}

// headOnly is a ResponseWriter that keeps only the headers.
type headOnly struct{ header http.Header }

func (h *headOnly) Header() http.Header         { return h.header }
func (h *headOnly) Write(p []byte) (int, error) { return len(p), nil }
func (h *headOnly) WriteHeader(int)             {}

// refused returns a 400 that names what can't be read.
func refused(location, message string) error {
	problem := newProblem(http.StatusBadRequest, message)
	problem.Errors = []*huma.ErrorDetail{{Location: location, Message: message}}
	return problem
}
