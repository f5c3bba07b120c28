package rest

import (
	"context"
	"net/http"
	"reflect"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// JobEvent is a job's change.
type JobEvent struct {
	Type         string            `json:"type" enum:"Created,Changed,Removed"`
	Name         string            `json:"name"`
	Workspace    string            `json:"workspace"`
	Handler      string            `json:"handler"`
	RecurringJob string            `json:"recurringJob,omitempty"`
	State        v1alpha1.JobState `json:"state" enum:"Scheduled,Awaiting,Enqueued,Processing,Succeeded,Failed,Deleted"`
	Message      string            `json:"message"`
	Run          int32             `json:"run"`
	Attempts     int               `json:"attempts"`
	Link         string            `json:"link"`
}

// End is why a stream is over for good.
type End struct {
	Reason string `json:"reason"`
}

// end tells a client not to come back.
func end(to *stream.Writer, reason string) { _ = to.SendJSON("end", "", End{reason}) } // the stream is over in any case

var resourceVersion = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// LastEvent is of all streams of events.
type LastEvent struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event that was seen: the stream goes on after it"`
}

type workspaceEventsInput struct {
	WorkspacePath
	LastEvent
}

type jobEventsInput struct {
	JobPath
	LastEvent
}

func (s *server) events(api huma.API) {
	tags := []string{"events"}
	api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[JobEvent](), true, "")
	responses := func(of string) map[string]*huma.Response {
		return map[string]*huma.Response{"200": {
			Description: "Server-sent events. `job`: a JobEvent of " + of + ". `reset`: changes were missed, read anew. `end`: over for good, with a reason. A comment shows every 15 seconds that the stream lives.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}
	}
	addStream(s, api, huma.Operation{
		OperationID: "watch-jobs", Method: http.MethodGet, Path: "/api/workspaces/{workspace}/events", Tags: tags, Responses: responses("each job that changes from now on"),
		Summary: "Be told of the changes of all jobs",
	}, func(ctx context.Context, c *call, in *workspaceEventsInput) (*huma.StreamResponse, error) {
		ws, err := in.find(ctx, c)
		if err != nil {
			return nil, err
		}
		return s.watch(ctx, &following{server: s, call: c, workspace: ws, position: in.LastEventID})
	})
	addStream(s, api, huma.Operation{
		OperationID: "watch-job", Method: http.MethodGet, Path: "/api/workspaces/{workspace}/jobs/{name}/events", Tags: tags, Responses: responses("the job, as it is and then whenever it changes"),
		Summary: "Be told of a job's changes",
	}, func(ctx context.Context, c *call, in *jobEventsInput) (*huma.StreamResponse, error) {
		ws, err := in.find(ctx, c)
		if err != nil {
			return nil, err
		}
		return s.watch(ctx, &following{server: s, call: c, workspace: ws, name: in.Name, position: in.LastEventID})
	})
}
