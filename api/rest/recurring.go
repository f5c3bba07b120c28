package rest

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/schedule"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// RecurringPath is part of the input of all operations on one recurring job.
type RecurringPath struct {
	WorkspacePath
	ID string `path:"id" pattern:"^[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?$" patternDescription:"a recurring job's id: lower-case letters, digits and '-', at most 46" maxLength:"46"`
}

func (p RecurringPath) id() string { return p.ID }

type recurringInput struct {
	RecurringPath
	Body RecurringJobRequest
}

type recurringListInput struct {
	WorkspacePath
	Limit    int64  `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Continue string `query:"continue" maxLength:"4096" doc:"The continue of the previous page"`
}

type triggerInput struct {
	RecurringPath
	KeyHeader
}

// appliedOutput is the output of a request that creates or updates a recurring job.
type appliedOutput struct {
	Status   int
	Location string `header:"Location" doc:"Path of the recurring job"`
	Body     RecurringJob
}

func (s *server) recurring(api huma.API) {
	tags := []string{"recurring jobs"}
	const all, one = "/api/workspaces/{workspace}/recurring", "/api/workspaces/{workspace}/recurring/{id}"
	add(s, api, huma.Operation{
		OperationID: "list-recurring-jobs", Method: http.MethodGet, Path: all, Tags: tags, Errors: []int{http.StatusGone}, Summary: "List recurring jobs by id",
	}, s.listRecurring)
	add(s, api, huma.Operation{
		OperationID: "get-recurring-job", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Read a recurring job",
	}, operation[RecurringPath]((*client.Workspace).GetRecurring, viewOfRecurring))
	add(s, api, huma.Operation{
		OperationID: "put-recurring-job", Method: http.MethodPut, Path: one, Tags: tags, Responses: newRecurring(api),
		Summary: "Create or replace a recurring job; a paused one stays paused",
	}, s.putRecurring)
	add(s, api, huma.Operation{
		OperationID: "delete-recurring-job", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Remove a recurring job with its runs; succeeds if there is none",
	}, removal[RecurringPath]((*client.Workspace).RemoveRecurring))
	add(s, api, makes(api, huma.Operation{
		OperationID: "trigger-recurring-job", Method: http.MethodPost, Path: one + "/trigger", Tags: tags, Summary: "Run a recurring job now, whatever its schedule says",
	}), s.trigger)
	add(s, api, huma.Operation{
		OperationID: "pause-recurring-job", Method: http.MethodPost, Path: one + "/pause", Tags: tags, Summary: "Pause the schedule: no run becomes due, but runs can be triggered",
	}, operation[RecurringPath]((*client.Workspace).PauseRecurring, viewOfRecurring))
	add(s, api, huma.Operation{
		OperationID: "resume-recurring-job", Method: http.MethodPost, Path: one + "/resume", Tags: tags, Summary: "Resume a paused schedule",
	}, operation[RecurringPath]((*client.Workspace).ResumeRecurring, viewOfRecurring))
}

func (s *server) listRecurring(ctx context.Context, c *call, in *recurringListInput) (*output[RecurringJobList], error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := c.caller.In(ws.Status.Namespace).ListRecurring(ctx, in.Limit, in.Continue)
	if err != nil {
		return nil, err
	}
	out := &output[RecurringJobList]{RecurringJobList{Items: []RecurringJob{}, Continue: list.Continue}}
	for i := range list.Items {
		out.Body.Items = append(out.Body.Items, viewOfRecurring(ws.Name, &list.Items[i]))
	}
	return out, nil
}

func (s *server) putRecurring(ctx context.Context, c *call, in *recurringInput) (*appliedOutput, error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	var read reader
	recurring := read.recurring(in.ID, &in.Body)
	read.schedule(ws.Status.Namespace, recurring)
	if err := read.err(); err != nil {
		return nil, err
	}
	return apply(ctx, c, ws, recurring)
}

// apply creates or updates the recurring job, and reports which.
func apply(ctx context.Context, c *call, ws *v1alpha1.Workspace, recurring *v1alpha1.WorkspaceRecurringJob) (*appliedOutput, error) {
	jobs := c.caller.In(ws.Status.Namespace)
	status := http.StatusOK
	_, err := jobs.GetRecurring(ctx, recurring.Name)
	if apierrors.IsNotFound(err) {
		status, err = http.StatusCreated, nil
	}
	if err != nil {
		return nil, err
	}
	applied, err := jobs.ApplyRecurring(ctx, recurring)
	if err != nil {
		return nil, err
	}
	out := &appliedOutput{Status: status, Body: viewOfRecurring(ws.Name, applied)}
	out.Location = out.Body.Links.Self
	return out, nil
}

func (s *server) trigger(ctx context.Context, c *call, in *triggerInput) (*madeOutput, error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	return triggerJob(ctx, c, ws, in.ID)
}

// triggerJob runs an existing recurring job.
func triggerJob(ctx context.Context, c *call, ws *v1alpha1.Workspace, id string) (*madeOutput, error) {
	if _, err := c.caller.In(ws.Status.Namespace).GetRecurring(ctx, id); err != nil {
		return nil, err
	}
	return makeJob(ctx, c, ws, &v1alpha1.WorkspaceJob{Spec: v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: id}}})
}

func (r *reader) recurring(id string, in *RecurringJobRequest) *v1alpha1.WorkspaceRecurringJob {
	recurring := &v1alpha1.WorkspaceRecurringJob{ObjectMeta: metav1.ObjectMeta{Name: id}, Spec: v1alpha1.WorkspaceRecurringJobSpec{
		Schedule: in.Schedule, TimeZone: in.TimeZone, ConcurrencyPolicy: in.ConcurrencyPolicy,
		StartingDeadline: r.duration("startingDeadline", in.StartingDeadline), Template: r.template(in.Template),
	}}
	if in.History != nil {
		recurring.Spec.History = &v1alpha1.History{Succeeded: in.History.Succeeded, Failed: in.History.Failed}
	}
	return recurring
}

// schedule checks a recurring job's schedule. The API server accepts any text, and only the
// operator would report a wrong one, later.
func (r *reader) schedule(namespace string, recurring *v1alpha1.WorkspaceRecurringJob) {
	zone := recurring.Spec.TimeZone
	if zone == "" {
		zone = "Etc/UTC"
	}
	_, err := schedule.Parse(recurring.Spec.Schedule, zone, namespace+"/"+recurring.Name)
	var badZone *schedule.TimeZoneError
	switch {
	case errors.As(err, &badZone):
		r.fault("body.timeZone", err.Error())
	case err != nil:
		r.fault("body.schedule", err.Error())
	}
}

func viewOfRecurring(workspace string, recurring *v1alpha1.WorkspaceRecurringJob) RecurringJob {
	spec, status := recurring.Spec, recurring.Status
	view := RecurringJob{
		ID: recurring.Name, Workspace: workspace, Schedule: spec.Schedule, EffectiveSchedule: status.Schedule, TimeZone: spec.TimeZone,
		ConcurrencyPolicy: spec.ConcurrencyPolicy, StartingDeadline: durationText(spec.StartingDeadline), Paused: spec.Suspend,
		CreatedBy: recurring.Annotations[v1alpha1.AnnotationCreatedBy], PausedBy: v1alpha1.Author(recurring, v1alpha1.AnnotationSuspendedBy),
		ResumedBy: v1alpha1.Author(recurring, v1alpha1.AnnotationResumedBy),
		Handler:   spec.Template.Handler, Args: Object(raw(spec.Template.Args)), Priority: spec.Template.Priority,
		ConcurrencyKey: spec.Template.ConcurrencyKey, Retry: viewOfRetry(spec.Template.Retry),
		Timeout: durationText(spec.Template.Timeout), Resources: viewOfResources(spec.Template.Resources), TTL: durationText(spec.Template.TTLAfterFinished),
		Message: "the operator has not seen it yet", CreatedAt: recurring.CreationTimestamp.UTC(),
		NextScheduledAt: timeOf(status.NextScheduledAt), LastScheduledAt: timeOf(status.LastScheduledAt),
		LastSucceededAt: timeOf(status.LastSucceededAt), LastMissedAt: timeOf(status.LastMissedAt),
		MissedRuns: status.MissedRuns, SkippedRuns: status.SkippedRuns, Failures: status.ConsecutiveFailures, Active: []string{},
		Links: RecurringLinks{Self: pathOf(workspace, "recurring", recurring.Name), Workspace: pathOf(workspace)},
	}
	view.Active = append(view.Active, status.Active...)
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		view.Ready, view.Message = ready.Status == metav1.ConditionTrue, ready.Message
	}
	if spec.History != nil {
		view.History = &History{Succeeded: spec.History.Succeeded, Failed: spec.History.Failed}
	}
	if last := status.LastRun; last != nil {
		view.LastRun = &LastRun{Name: last.Name, State: last.State, FinishedAt: last.FinishedAt.UTC()}
	}
	return view
}
