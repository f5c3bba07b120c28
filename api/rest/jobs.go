package rest

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

type jobsInput struct {
	WorkspacePath
	State    v1alpha1.JobState `query:"state" enum:"Scheduled,Awaiting,Enqueued,Processing,Succeeded,Failed,Deleted" doc:"Only jobs in this state"`
	Retrying bool              `query:"retrying" doc:"Only jobs that wait for another attempt, all of which are Scheduled"`
	Handler  string            `query:"handler" maxLength:"100" pattern:"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$" doc:"Only jobs of this handler"`
	Limit    int64             `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Continue string            `query:"continue" maxLength:"4096" doc:"The continue of the previous page"`
}

// JobPath is part of the input of all operations on one job.
type JobPath struct {
	WorkspacePath
	Name string `path:"name" pattern:"^[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?$" patternDescription:"a job's name: lower-case letters, digits and '-', at most 58" maxLength:"58"`
}

func (p JobPath) id() string { return p.Name }

type createInput struct {
	WorkspacePath
	KeyHeader
	Body JobRequest
}

// KeyHeader is part of the input of all requests that create a job.
type KeyHeader struct {
	Key string `header:"Idempotency-Key" minLength:"1" maxLength:"255" doc:"However often a request with this key is sent, its job is created once, for as long as the job is kept. If another job has the key, the answer is 409. A key that is a valid name becomes the job's name."`
}

// madeOutput is the output of a request that creates a job unless it exists.
type madeOutput struct {
	Status   int
	Location string `header:"Location" doc:"Path of the job"`
	Body     Job
}

func (s *server) jobs(api huma.API) {
	tags := []string{"jobs"}
	const path = "/api/workspaces/{workspace}/jobs"
	add(s, api, makes(api, huma.Operation{
		OperationID: "create-job", Method: http.MethodPost, Path: path, Tags: tags, Summary: "Create a job that runs now, later, or after others",
	}), s.createJob)
	add(s, api, huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: path, Tags: tags, Errors: []int{http.StatusGone}, Summary: "List jobs by name",
	}, s.listJobs)
	add(s, api, huma.Operation{
		OperationID: "get-job", Method: http.MethodGet, Path: path + "/{name}", Tags: tags, Summary: "Read a job",
	}, operation[JobPath]((*client.Workspace).Get, viewOfJob))
	add(s, api, huma.Operation{
		OperationID: "requeue-job", Method: http.MethodPost, Path: path + "/{name}/requeue", Tags: tags, Summary: "Run a finished job again",
	}, operation[JobPath]((*client.Workspace).Requeue, viewOfJob))
	add(s, api, huma.Operation{
		OperationID: "cancel-job", Method: http.MethodPost, Path: path + "/{name}/cancel", Tags: tags, Summary: "Stop a job; one that has finished stays as it is",
	}, operation[JobPath]((*client.Workspace).Cancel, viewOfJob))
	add(s, api, huma.Operation{
		OperationID: "delete-job", Method: http.MethodDelete, Path: path + "/{name}", Tags: tags,
		Summary: "Delete a job with its attempts and logs; succeeds if there is none",
	}, removal[JobPath]((*client.Workspace).Delete))
	s.logs(api, path+"/{name}/logs")
}

// makes documents that an operation answers 201, or 200 if the job exists.
func makes(api huma.API, operation huma.Operation) huma.Operation {
	operation.DefaultStatus = http.StatusCreated
	operation.Responses = map[string]*huma.Response{"200": {
		Description: "The job exists, with the same Idempotency-Key or name",
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Job](), true, ""),
		}},
	}}
	return operation
}

func (s *server) createJob(ctx context.Context, c *call, in *createInput) (*madeOutput, error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	var read reader
	job := read.job(&in.Body)
	if c.key != "" && in.Body.Name != "" && client.NameOfKey(c.key) != in.Body.Name {
		read.fault("body.name", "both a name and an Idempotency-Key identify a job: send only one of them")
	}
	if err := read.err(); err != nil {
		return nil, err
	}
	return makeJob(ctx, c, ws, job)
}

// makeJob creates the job: once, if the request has an Idempotency-Key or the job a name.
func makeJob(ctx context.Context, c *call, ws *v1alpha1.Workspace, job *v1alpha1.WorkspaceJob) (*madeOutput, error) {
	if c.key != "" {
		job.Name = client.NameOfKey(c.key)
	}
	made, created, err := c.caller.In(ws.Status.Namespace).CreateOnce(ctx, job)
	if err != nil {
		return nil, err
	}
	out := &madeOutput{Status: http.StatusOK, Body: viewOfJob(ws.Name, made)}
	if created {
		out.Status = http.StatusCreated
	}
	out.Location = out.Body.Links.Self
	return out, nil
}

func (s *server) listJobs(ctx context.Context, c *call, in *jobsInput) (*output[JobList], error) {
	ws, err := in.find(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := c.caller.In(ws.Status.Namespace).List(ctx, client.ListOptions{State: in.State, Retrying: in.Retrying, Handler: in.Handler, Limit: in.Limit, Continue: in.Continue})
	if err != nil {
		return nil, err
	}
	out := &output[JobList]{JobList{Items: []Job{}, Continue: list.Continue}}
	for i := range list.Items {
		out.Body.Items = append(out.Body.Items, viewOfJob(ws.Name, &list.Items[i]))
	}
	return out, nil
}
