package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/logs"
	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// linePart is the longest part of a line that one event holds, in bytes.
const linePart = 64 << 10

// LogEvent is a line of a log, or a part of a long line.
type LogEvent struct {
	Line string `json:"line"`
	// More is set if the line continues in the next event.
	More bool `json:"more,omitempty"`
}

type logsInput struct {
	JobPath
	LastEvent
	Attempt int32  `query:"attempt" minimum:"1" doc:"Number of the attempt; the newest unless set"`
	Follow  bool   `query:"follow" doc:"Follow the log until the attempt has ended"`
	Accept  string `header:"Accept" hidden:"true"`
}

func (s *server) logs(api huma.API, path string) {
	api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[LogEvent](), true, "")
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	addStream(s, api, huma.Operation{
		OperationID: "read-log", Method: http.MethodGet, Path: path, Tags: []string{"jobs"}, Summary: "Read the log of an attempt",
		Responses: map[string]*huma.Response{"200": {
			Description: "What the handler printed. As server-sent events: `log` with a LogEvent, and `end` at the end. The id comes with the last part of a line.",
			Content:     map[string]*huma.MediaType{"text/plain": text, "text/event-stream": text},
		}},
	}, s.readLog)
}

func (s *server) readLog(ctx context.Context, c *call, ws *v1alpha1.Workspace, in *logsInput) (*huma.StreamResponse, error) {
	events := strings.Contains(in.Accept, stream.Events)
	options := corev1.PodLogOptions{Follow: in.Follow, Timestamps: events}
	var seen logs.Position
	if in.LastEventID != "" {
		var err error
		if seen, err = logs.ParsePosition(in.LastEventID); err != nil {
			return nil, refused("header.Last-Event-ID", "this is not an id of an event of this stream")
		}
		options.SinceTime = new(metav1.NewTime(seen.Time()))
	}
	attempt, err := attemptOf(ctx, c, ws.Status.Namespace, in)
	if err != nil {
		return nil, err
	}
	source := logs.Source{Caller: c.caller, Namespace: ws.Status.Namespace, Attempt: attempt, Recheck: s.heartbeat}
	log, err := source.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(answer huma.Context) {
		defer log.Close()
		_, w := humago.Unwrap(answer)
		if !events {
			stream.CopyText(w, log)
			return
		}
		to := stream.Begin(w, stream.Events)
		defer to.KeepAlive(s.heartbeat, func() { _ = log.Close() })()
		sendLines(to, log, seen)
		comeBack(ctx, to)
	}}, nil
}

// attemptOf returns the attempt that is asked for, or the newest one.
func attemptOf(ctx context.Context, c *call, namespace string, in *logsInput) (*v1alpha1.Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	job, err := c.caller.In(namespace).Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	attempt := job.Status.Attempt(in.Attempt)
	if attempt == nil && in.Attempt > 0 {
		return nil, newProblem(http.StatusNotFound, fmt.Sprintf("there is no attempt %d, or it is no longer recorded", in.Attempt))
	}
	if attempt == nil {
		return nil, newProblem(http.StatusNotFound, "there is no log yet: no attempt has begun")
	}
	return attempt, nil
}

// sendLines sends the lines after the one that was seen last, an event for each, or several
// for a long one. Only the last of those has the id, so a client that was cut off within a
// line gets all of it again.
func sendLines(to *stream.Writer, log io.Reader, seen logs.Position) {
	lines := logs.NewLines(log, linePart, true)
	for {
		line, err := lines.Next()
		if err != nil {
			endLog(to, err)
			return
		}
		// The API server counts from whole seconds, so some lines come again.
		if !line.Position.IsZero() && !line.Position.After(seen) {
			continue
		}
		id := ""
		if !line.More && !line.Position.IsZero() {
			id = line.Position.String()
		}
		if to.SendJSON("log", id, LogEvent{line.Text, line.More}) != nil {
			return
		}
	}
}

// endLog sends a client the event that ends the stream. Without it, as after a fault, the client
// reconnects.
func endLog(to *stream.Writer, err error) {
	switch {
	case errors.Is(err, io.EOF):
		end(to, "the log has ended")
	case errors.Is(err, auth.ErrRevoked), errors.Is(err, auth.ErrUnauthenticated):
		end(to, err.Error())
	}
}
