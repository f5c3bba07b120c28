// Package rest serves the job API over HTTP. It has no rights of its own: each call goes to
// the Kubernetes API with the caller's bearer token, so RBAC decides.
//
// A request passes through [server.guarded], which finds out who calls, to an operation in
// jobs.go, recurring.go, workspaces.go, events.go, logs.go or hangfire.go. An error becomes a
// problem (RFC 9457) in problem.go.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// bodyLimit is the largest size of a request's body, in bytes: arguments of 64 KiB and
	// what is around them.
	bodyLimit = 256 << 10
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// callLimit is how long the API server has for everything that one request asks of it.
	callLimit = 25 * time.Second
)

// Option is an option of [Handler].
type Option func(*server)

// WithLog sets where faults of the server are logged. Callers learn only that one occurred.
func WithLog(log *slog.Logger) Option { return func(s *server) { s.log = log } }

// WithHeartbeat sets how often a stream shows that it is alive and checks its caller's right
// to it; [stream.Heartbeat] unless set.
func WithHeartbeat(every time.Duration) Option { return func(s *server) { s.heartbeat = every } }

// WithStreams sets how many streams may be open: unless set, [auth.StreamsEach] for each
// caller and [auth.StreamsAll] in total.
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

// Description returns the description of the API, OpenAPI 3.1, as YAML.
func Description() ([]byte, error) { return (&server{}).register(http.NewServeMux()).YAML() }

func serve(contentType string, encode func() ([]byte, error)) http.HandlerFunc {
	content, err := encode()
	return func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			writeProblem(w, newProblem(http.StatusInternalServerError, faultOfTheServer))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // a client that has gone away needs no answer
	}
}

// register registers all operations and returns their description.
func (s *server) register(mux *http.ServeMux) *huma.OpenAPI {
	config := huma.DefaultConfig("Workspace Jobs", "1")
	config.Info.Description = "Background jobs of the workspaces that you may see. Every call uses your own rights in the cluster."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {
		Type: "http", Scheme: "bearer", Description: "A token that the cluster accepts: of a ServiceAccount (kubectl create token), or of OpenID Connect if the cluster is set up for it.",
	}}
	config.Security = []map[string][]string{{"token": {}}}
	config.Tags = []*huma.Tag{
		{Name: "hangfire", Description: "The five routes that OpenRADIUS had with Hangfire. The workspace is that of the header X-Workspace, or else the one that the caller's ServiceAccount is in, or else the only one that the caller may see."},
		{Name: "workspaces"}, {Name: "jobs"}, {Name: "recurring jobs"}, {Name: "events"},
	}
	// The library's own pages load scripts from other sites, and it makes the description at
	// the first request without a lock. So neither is served by the library.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{explain(config.Components.Schemas)}
	api := humago.New(mux, config)
	s.hangfire(api)
	s.workspaces(api)
	s.jobs(api)
	s.recurring(api)
	s.events(api)
	return api.OpenAPI()
}

// add adds an operation with a time limit. Its errors become problems.
func add[I, O any](s *server, api huma.API, operation huma.Operation, do func(ctx context.Context, c *call, input *I) (*O, error)) {
	addAny(s, api, operation, func(ctx context.Context, c *call, input *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		return do(ctx, c, input)
	})
}

// inWorkspace is the input of an operation in one workspace.
type inWorkspace interface {
	find(ctx context.Context, c *call) (*v1alpha1.Workspace, error)
}

// addStream adds an operation in a workspace whose response is a stream. The number of these is
// limited for each caller and shared between workspaces, so the response must end with the
// context that do gets.
func addStream[I inWorkspace](s *server, api huma.API, operation huma.Operation, do func(ctx context.Context, c *call, ws *v1alpha1.Workspace, input *I) (*huma.StreamResponse, error)) {
	addAny(s, api, operation, func(ctx context.Context, c *call, input *I) (*huma.StreamResponse, error) {
		ws, err := (*input).find(ctx, c)
		if err != nil {
			return nil, err
		}
		if ctx, err = s.streams.Take(ctx, ws.Name, c.caller.Name); err != nil {
			return nil, err
		}
		return do(ctx, c, ws, input)
	})
}

// comeBack has the client of events reconnect later, and continue after the last event, if ctx
// has ended because its stream had to make room.
func comeBack(ctx context.Context, to *stream.Writer) {
	if errors.Is(context.Cause(ctx), auth.ErrMadeRoom) {
		_ = to.Retry(streamRetry * time.Second) // a client that has gone away needs no answer
	}
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

// Object is any JSON object, kept as it was written so that no number loses a digit.
type Object json.RawMessage

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) { return json.RawMessage(o).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(text []byte) error {
	*o = append((*o)[:0], text...)
	return nil
}

// Schema returns the schema of any JSON object.
func (o Object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}
