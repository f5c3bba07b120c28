package rest

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// WorkspacePath is part of the input of all operations in one workspace.
type WorkspacePath struct {
	Workspace string `path:"workspace" pattern:"^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$" patternDescription:"a workspace's name: lower-case letters, digits and '-', at most 53" maxLength:"53"`
	Header    string `header:"X-Workspace" doc:"If sent, it must name the same workspace as the path"`
}

// find returns the workspace, if the caller may see it.
func (p WorkspacePath) find(ctx context.Context, c *call) (*v1alpha1.Workspace, error) {
	if c.workspace != "" && c.workspace != p.Workspace {
		return nil, refused("header."+workspaceHeader, "the path and the header X-Workspace name different workspaces: leave out the header")
	}
	return c.caller.Workspace(ctx, p.Workspace)
}

type workspaceInput struct{ WorkspacePath }

func (s *server) workspaces(api huma.API) {
	tags := []string{"workspaces"}
	add(s, api, huma.Operation{
		OperationID: "list-workspaces", Method: http.MethodGet, Path: "/api/workspaces", Tags: tags, Summary: "List the workspaces that you may see, with the numbers of their jobs",
	}, func(ctx context.Context, c *call, _ *nothing) (*output[WorkspaceList], error) {
		all, err := c.caller.Workspaces(ctx)
		if err != nil {
			return nil, err
		}
		out := &output[WorkspaceList]{WorkspaceList{Items: []Workspace{}}}
		for i := range all {
			out.Body.Items = append(out.Body.Items, viewOfWorkspace(&all[i]))
		}
		return out, nil
	})
	add(s, api, huma.Operation{
		OperationID: "get-workspace", Method: http.MethodGet, Path: "/api/workspaces/{workspace}", Tags: tags, Summary: "Read a workspace",
	}, func(ctx context.Context, c *call, in *workspaceInput) (*output[Workspace], error) {
		ws, err := in.find(ctx, c)
		if err != nil {
			return nil, err
		}
		return &output[Workspace]{viewOfWorkspace(ws)}, nil
	})
}

func viewOfWorkspace(ws *v1alpha1.Workspace) Workspace {
	view := Workspace{
		Name: ws.Name, Namespace: ws.Status.Namespace, Queue: v1alpha1.QueueName(ws.Name), Suspended: ws.Spec.Suspend,
		Ready: meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady),
		Links: WorkspaceLinks{
			Self: pathOf(ws.Name), Jobs: pathOf(ws.Name, "jobs"), Recurring: pathOf(ws.Name, "recurring"), Events: pathOf(ws.Name, "events"),
		},
	}
	if ws.Spec.Concurrency != nil {
		view.Concurrency = *ws.Spec.Concurrency
	}
	if counts := ws.Status.Jobs; counts != nil {
		view.Jobs = JobCounts(*counts)
	}
	return view
}

// own returns the workspace of a request whose path names none.
func own(ctx context.Context, c *call) (*v1alpha1.Workspace, error) {
	if c.workspace != "" {
		return c.caller.Workspace(ctx, c.workspace)
	}
	home, err := c.caller.Home(ctx)
	if !errors.Is(err, auth.ErrNoWorkspace) {
		return home, err
	}
	all, err := c.caller.Workspaces(ctx)
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 0:
		return nil, refused("header."+workspaceHeader, "you may see no workspace: ask a platform admin to make you a member of one")
	case 1:
		return &all[0], nil
	}
	return nil, refused("header."+workspaceHeader, "you may see several workspaces: name one in the header X-Workspace; GET /api/workspaces lists them")
}
