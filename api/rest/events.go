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

// JobEvent is a change of a job.
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

// End is why a stream is over.
type End struct {
	Reason string `json:"reason"`
}

// end tells a client not to reconnect.
func end(to *stream.Writer, reason string) { _ = to.SendJSON("end", "", End{reason}) } // the stream is over in any case

var resourceVersion = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

// LastEvent is part of the input of all streams of events.
type LastEvent struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event that was received: the stream continues after it"`
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
			Description: "Server-sent events. `job`: a JobEvent for " + of + ". `reset`: changes were missed, so read the state again. `end`: the stream is over, with a reason. A comment every 15 seconds shows that the stream is alive.",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}
	}
	addStream(s, api, huma.Operation{
		OperationID: "watch-jobs", Method: http.MethodGet, Path: "/api/workspaces/{workspace}/events", Tags: tags, Responses: responses("each change of a job from now on"),
		Summary: "Follow the changes of all jobs",
	}, func(ctx context.Context, c *call, ws *v1alpha1.Workspace, in *workspaceEventsInput) (*huma.StreamResponse, error) {
		return s.watch(ctx, &following{server: s, call: c, workspace: ws, position: in.LastEventID})
	})
	addStream(s, api, huma.Operation{
		OperationID: "watch-job", Method: http.MethodGet, Path: "/api/workspaces/{workspace}/jobs/{name}/events", Tags: tags, Responses: responses("the job as it is, then for each change of it"),
		Summary: "Follow the changes of a job",
	}, func(ctx context.Context, c *call, ws *v1alpha1.Workspace, in *jobEventsInput) (*huma.StreamResponse, error) {
		return s.watch(ctx, &following{server: s, call: c, workspace: ws, name: in.Name, position: in.LastEventID})
	})
}
