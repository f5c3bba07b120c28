package rest

import (
	"context"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// objectPath is the path of an operation on one object of a workspace.
type objectPath interface {
	find(ctx context.Context, c *call) (*v1alpha1.Workspace, error)
	// id is the object's name.
	id() string
}

type output[V any] struct{ Body V }

type nothing struct{}

// operation returns an operation on one object, which answers with a view of it.
func operation[P objectPath, T, V any](do func(*client.Workspace, context.Context, string) (*T, error), view func(workspace string, object *T) V) func(context.Context, *call, *P) (*output[V], error) {
	return func(ctx context.Context, c *call, in *P) (*output[V], error) {
		ws, err := (*in).find(ctx, c)
		if err != nil {
			return nil, err
		}
		object, err := do(c.caller.In(ws.Status.Namespace), ctx, (*in).id())
		if err != nil {
			return nil, err
		}
		return &output[V]{view(ws.Name, object)}, nil
	}
}

// removal returns an operation that deletes one object.
func removal[P objectPath](do func(*client.Workspace, context.Context, string) error) func(context.Context, *call, *P) (*nothing, error) {
	return func(ctx context.Context, c *call, in *P) (*nothing, error) {
		ws, err := (*in).find(ctx, c)
		if err != nil {
			return nil, err
		}
		return &nothing{}, do(c.caller.In(ws.Status.Namespace), ctx, (*in).id())
	}
}
