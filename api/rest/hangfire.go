package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openradius/workspace-jobs/api/client/cron"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// cleanupHandler, reportHandler and syncHandler are handlers of the stock runner image.
	cleanupHandler = "data-cleanup"
	reportHandler  = "report"
	syncHandler    = "external-sync"
	// dailySync is the recurring job that synchronises, at dailySyncHour unless the request
	// has a schedule.
	dailySync     = "daily-sync"
	dailySyncHour = 2
	// syncNeedsArgs says what has no default.
	syncNeedsArgs = "external-sync needs url, table, columns and key (docs/handlers.md); for a handler of your own that takes no arguments, send {}"
)

// defaultCleanup deletes sessions that ended more than two years ago. A default that deletes
// data had better delete too little.
func defaultCleanup() *Object {
	return new(Object(`{"table":"radacct","column":"acctstoptime","olderThan":"2y"}`))
}

// OwnWorkspace is part of the input of all operations whose path names no workspace.
type OwnWorkspace struct {
	Header string `header:"X-Workspace" doc:"The workspace. Unless set, it is the one that the caller's ServiceAccount is in, or else the only one that the caller may see"`
}

type argsInput struct {
	OwnWorkspace
	KeyHeader
	Body *Object `doc:"The handler's arguments"`
}

type reportInput struct {
	OwnWorkspace
	KeyHeader
	ID    string  `path:"id" pattern:"^[A-Za-z0-9]([A-Za-z0-9._:-]{0,198}[A-Za-z0-9])?$" patternDescription:"a report's id: letters, digits and . _ : -, at most 200" maxLength:"200"`
	Delay int64   `query:"delayMinutes" minimum:"0" maximum:"5256000" doc:"Run this many minutes from now; at once if 0 or absent"`
	Body  *Object `doc:"Further arguments of the handler, such as period"`
}

type syncInput struct {
	OwnWorkspace
	Body *SyncRequest
}

// SyncRequest describes the recurring synchronisation.
type SyncRequest struct {
	ID       string  `json:"id,omitempty" pattern:"^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$" doc:"daily-sync unless set"`
	Schedule string  `json:"schedule,omitempty" maxLength:"200" doc:"Daily at 02:00 unless set" example:"0 2 * * *"`
	TimeZone string  `json:"timeZone,omitempty" maxLength:"64" doc:"Etc/UTC unless set"`
	Args     *Object `json:"args,omitempty" doc:"Arguments of external-sync; if absent, an existing recurring job keeps its own"`
}

type removeInput struct {
	OwnWorkspace
	JobID string `path:"jobId" pattern:"^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$" patternDescription:"a recurring job's id: lower-case letters, digits and '-', at most 46" maxLength:"46"`
}

func (s *server) hangfire(api huma.API) {
	tags := []string{"hangfire"}
	add(s, api, makes(api, huma.Operation{
		OperationID: "cleanup", Method: http.MethodPost, Path: "/api/jobs/cleanup", Tags: tags,
		Summary: "Enqueue data-cleanup; without a body it deletes rows of radacct whose sessions ended more than two years ago",
	}), s.cleanup)
	add(s, api, makes(api, huma.Operation{
		OperationID: "report", Method: http.MethodPost, Path: "/api/jobs/reports/{id}", Tags: tags, Summary: "Make a report, now or later",
	}), s.report)
	add(s, api, huma.Operation{
		OperationID: "sync-recurring", Method: http.MethodPost, Path: "/api/jobs/sync/recurring", Tags: tags, Responses: newRecurring(api),
		Summary: "Synchronise every day, or on another schedule",
	}, s.syncRecurring)
	add(s, api, makes(api, huma.Operation{
		OperationID: "sync-now", Method: http.MethodPost, Path: "/api/jobs/sync/now", Tags: tags, Summary: "Synchronise now; without a body, run daily-sync",
	}), s.syncNow)
	add(s, api, huma.Operation{
		OperationID: "remove-recurring", Method: http.MethodDelete, Path: "/api/jobs/recurring/{jobId}", Tags: tags,
		Summary: "Remove a recurring job; succeeds if there is none",
	}, s.removeRecurring)
}

// newRecurring documents that an operation answers 201 when it creates a recurring job, and
// not 200 as when it updates one.
func newRecurring(api huma.API) map[string]*huma.Response {
	return map[string]*huma.Response{"201": {
		Description: "The recurring job was created",
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[RecurringJob](), true, ""),
		}},
	}}
}

func (s *server) cleanup(ctx context.Context, c *call, in *argsInput) (*madeOutput, error) {
	ws, err := own(ctx, c)
	if err != nil {
		return nil, err
	}
	if in.Body == nil {
		in.Body = defaultCleanup()
	}
	return enqueue(ctx, c, ws, cleanupHandler, in.Body, 0)
}

func (s *server) report(ctx context.Context, c *call, in *reportInput) (*madeOutput, error) {
	ws, err := own(ctx, c)
	if err != nil {
		return nil, err
	}
	args := map[string]json.RawMessage{}
	if in.Body != nil {
		if err := json.Unmarshal(*in.Body, &args); err != nil {
			return nil, err
		}
	}
	id, err := json.Marshal(in.ID)
	if err != nil {
		return nil, err
	}
	if said, there := args["id"]; there && string(said) != string(id) {
		return nil, oneField("body.id", "the path and the body name different reports: leave id out of the body")
	}
	args["id"] = id
	text, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	return enqueue(ctx, c, ws, reportHandler, new(Object(text)), time.Duration(in.Delay)*time.Minute)
}

func enqueue(ctx context.Context, c *call, ws *v1alpha1.Workspace, handler string, args *Object, delay time.Duration) (*madeOutput, error) {
	var read reader
	job := &v1alpha1.WorkspaceJob{}
	job.Spec.Handler, job.Spec.Args = handler, read.args("body", args)
	if delay > 0 {
		job.Spec.Delay = &v1alpha1.Duration{Duration: delay}
	}
	if err := read.err(); err != nil {
		return nil, err
	}
	return makeJob(ctx, c, ws, job)
}

func (s *server) syncRecurring(ctx context.Context, c *call, in *syncInput) (*appliedOutput, error) {
	ws, err := own(ctx, c)
	if err != nil {
		return nil, err
	}
	wanted := SyncRequest{}
	if in.Body != nil {
		wanted = *in.Body
	}
	if wanted.ID == "" {
		wanted.ID = dailySync
	}
	if wanted.Args == nil {
		if wanted.Args, err = argsThere(ctx, c, ws, wanted.ID); err != nil {
			return nil, err
		}
	}
	if wanted.Schedule == "" {
		wanted.Schedule = cron.Daily(dailySyncHour)
	}
	var read reader
	recurring := read.recurring(wanted.ID, &RecurringJobRequest{
		Schedule: wanted.Schedule, TimeZone: wanted.TimeZone, Template: Template{Handler: syncHandler, Args: wanted.Args},
	})
	read.schedule(ws.Status.Namespace, recurring)
	if err := read.err(); err != nil {
		return nil, err
	}
	return apply(ctx, c, ws, recurring)
}

// argsThere returns the arguments of the recurring job as it is. A request without arguments
// keeps them.
func argsThere(ctx context.Context, c *call, ws *v1alpha1.Workspace, id string) (*Object, error) {
	there, err := c.caller.In(ws.Status.Namespace).GetRecurring(ctx, id)
	if apierrors.IsNotFound(err) {
		return nil, oneField("body.args", syncNeedsArgs)
	}
	if err != nil {
		return nil, err
	}
	if handler := there.Spec.Template.Handler; handler != syncHandler {
		return nil, oneField("body.id", "this recurring job runs "+handler+", whose arguments are not those of external-sync: use another id, or send args to change it")
	}
	return new(Object(raw(there.Spec.Template.Args))), nil
}

func (s *server) syncNow(ctx context.Context, c *call, in *argsInput) (*madeOutput, error) {
	ws, err := own(ctx, c)
	if err != nil {
		return nil, err
	}
	if in.Body != nil {
		return enqueue(ctx, c, ws, syncHandler, in.Body, 0)
	}
	made, err := triggerJob(ctx, c, ws, dailySync)
	if apierrors.IsNotFound(err) {
		return nil, oneField("body", "there is no recurring job daily-sync to run: create it with POST /api/jobs/sync/recurring, or send arguments; "+syncNeedsArgs)
	}
	return made, err
}

func (s *server) removeRecurring(ctx context.Context, c *call, in *removeInput) (*nothing, error) {
	ws, err := own(ctx, c)
	if err != nil {
		return nil, err
	}
	return &nothing{}, c.caller.In(ws.Status.Namespace).RemoveRecurring(ctx, in.JobID)
}
