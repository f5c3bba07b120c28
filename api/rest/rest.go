// Package rest is the job API over HTTP. It has no rights of its own: each call goes to
// the Kubernetes API with the caller's bearer token, so that RBAC decides.
//
// A request passes [server.guarded], which knows its caller; an operation of jobs.go,
// recurring.go, workspaces.go, events.go, logs.go or hangfire.go; and whatever error that
// ends with becomes a problem (RFC 9457) in problem.go.
package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/stream"
)

const (
	// bodyLimit of a request, in bytes: arguments of 64 KiB and what is around them.
	bodyLimit = 256 << 10
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// callLimit is how long the API server has for whatever one request asks of it.
	callLimit = 25 * time.Second
)

// Option of [Handler].
type Option func(*server)

// WithLog has faults of the server logged; callers are told only that there was one.
func WithLog(log *slog.Logger) Option { return func(s *server) { s.log = log } }

// WithHeartbeat sets how often a stream of events shows that it lives; 15 seconds unless
// set.
func WithHeartbeat(every time.Duration) Option { return func(s *server) { s.heartbeat = every } }

// WithStreams sets who may have how many streams open; without it each caller may have
// [auth.StreamsEach], and all of them [auth.StreamsAll].
func WithStreams(streams *auth.Streams) Option { return func(s *server) { s.streams = streams } }

type server struct {
	authenticator *auth.Authenticator
	streams       *auth.Streams
	log           *slog.Logger
	heartbeat     time.Duration
}

// Handler serves /api/, /openapi.json and /openapi.yaml.
func Handler(authenticator *auth.Authenticator, options ...Option) http.Handler {
	s := &server{
		authenticator: authenticator, streams: auth.NewStreams(auth.StreamsEach, auth.StreamsAll), log: slog.New(slog.DiscardHandler), heartbeat: stream.Heartbeat,
	}
	for _, option := range options {
		option(s)
	}
	mux := http.NewServeMux()
	description := s.register(mux)
	mux.HandleFunc("GET /openapi.json", serve("application/openapi+json", description.MarshalJSON))
	mux.HandleFunc("GET /openapi.yaml", serve("application/openapi+yaml", description.YAML))
	return s.guarded(mux)
}

// Description of the API, OpenAPI 3.1, as YAML.
func Description() ([]byte, error) { return (&server{}).register(http.NewServeMux()).YAML() }

func serve(contentType string, encode func() ([]byte, error)) http.HandlerFunc {
	content, err := encode()
	return func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			writeProblem(w, newProblem(http.StatusInternalServerError, faultOfTheServer))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // who has gone away needs no answer
	}
}

// register all operations, and return what describes them.
func (s *server) register(mux *http.ServeMux) *huma.OpenAPI {
	config := huma.DefaultConfig("Workspace Jobs", "1")
	config.Info.Description = "Background jobs of the workspaces that you may see. Every call is made with your own rights in the cluster."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {
		Type: "http", Scheme: "bearer", Description: "A token that the cluster takes: of a ServiceAccount (kubectl create token), or of OpenID Connect where the cluster is set up for it.",
	}}
	config.Security = []map[string][]string{{"token": {}}}
	config.Tags = []*huma.Tag{
		{Name: "hangfire", Description: "The five routes that were there before, in the workspace of the header X-Workspace, else the one that the caller's ServiceAccount lives in, else the only one that the caller may see."},
		{Name: "workspaces"}, {Name: "jobs"}, {Name: "recurring jobs"}, {Name: "events"},
	}
	// The library's own pages load scripts from elsewhere, and its description is made at
	// the first request without a lock: both are served otherwise or not at all.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{withoutValues}
	api := humago.New(mux, config)
	s.hangfire(api)
	s.workspaces(api)
	s.jobs(api)
	s.recurring(api)
	s.events(api)
	return api.OpenAPI()
}

// withoutValues: a problem names the field, and does not send back what was in it.
func withoutValues(_ huma.Context, _ string, body any) (any, error) {
	if problem, ok := body.(*huma.ErrorModel); ok {
		for _, each := range problem.Errors {
			each.Value = nil
		}
	}
	return body, nil
}

// add an operation. Its errors become problems, and it has a time limit.
func add[I, O any](s *server, api huma.API, operation huma.Operation, do func(ctx context.Context, c *call, input *I) (*O, error)) {
	addAny(s, api, operation, func(ctx context.Context, c *call, input *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return do(ctx, c, input)
	})
}

// addStream adds an operation that may last. Each caller has so many places for these.
func addStream[I any](s *server, api huma.API, operation huma.Operation, do func(ctx context.Context, c *call, input *I) (*huma.StreamResponse, error)) {
	addAny(s, api, operation, func(ctx context.Context, c *call, input *I) (*huma.StreamResponse, error) {
		if err := s.streams.Take(ctx, c.caller.Name); err != nil {
			return nil, err
		}
		return do(ctx, c, input)
	})
}

func addAny[I, O any](s *server, api huma.API, operation huma.Operation, do func(ctx context.Context, c *call, input *I) (*O, error)) {
	operation.MaxBodyBytes = bodyLimit + 1 // the library takes one byte less
	operation.BodyReadTimeout = bodyTime
	operation.Errors = append(operation.Errors, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusTooManyRequests, http.StatusServiceUnavailable)
	if operation.Method != http.MethodGet && operation.Method != http.MethodDelete {
		operation.Errors = append(operation.Errors, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	huma.Register(api, operation, func(ctx context.Context, input *I) (*O, error) {
		c := callOf(ctx)
		output, err := do(ctx, c, input)
		if err != nil {
			return nil, s.problem(c, err)
		}
		return output, nil
	})
}

// Object is any JSON object, kept as it was written: no number loses a digit.
type Object json.RawMessage

// MarshalJSON is that of json.RawMessage.
func (o Object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// UnmarshalJSON is that of json.RawMessage.
func (o *Object) UnmarshalJSON(text []byte) error {
	*o = append((*o)[:0], text...)
	return nil
}

// Schema of a JSON object.
func (o Object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}
