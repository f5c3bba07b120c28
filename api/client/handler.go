package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Handler enqueues jobs for one handler of a workspace. Its arguments have a type, so the
// compiler checks them.
type Handler[Args any] struct {
	workspace *Workspace
	name      string
}

// HandlerOf returns the workspace's handler of this name.
//
//	cleanup := client.HandlerOf[CleanupArgs](acme, "data-cleanup")
//	job, err := cleanup.Enqueue(ctx, CleanupArgs{Table: "sessions"})
func HandlerOf[Args any](workspace *Workspace, name string) Handler[Args] {
	return Handler[Args]{workspace, name}
}

// Enqueue is [Workspace.Enqueue] for this handler.
func (h Handler[Args]) Enqueue(ctx context.Context, args Args, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return h.workspace.Enqueue(ctx, h.name, args, options...)
}

// Schedule is [Workspace.Schedule] for this handler.
func (h Handler[Args]) Schedule(ctx context.Context, args Args, delay time.Duration, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return h.workspace.Schedule(ctx, h.name, args, delay, options...)
}

// ScheduleAt is [Workspace.ScheduleAt] for this handler.
func (h Handler[Args]) ScheduleAt(ctx context.Context, args Args, at time.Time, options ...JobOption) (*v1alpha1.WorkspaceJob, error) {
	return h.workspace.ScheduleAt(ctx, h.name, args, at, options...)
}

// AddOrUpdateRecurring is [Workspace.AddOrUpdateRecurring] for this handler.
func (h Handler[Args]) AddOrUpdateRecurring(ctx context.Context, id string, args Args, schedule string, options ...RecurringOption) (*v1alpha1.WorkspaceRecurringJob, error) {
	return h.workspace.AddOrUpdateRecurring(ctx, id, h.name, args, schedule, options...)
}

// ResultOf returns what a job's handler returned.
func ResultOf[Result any](job *v1alpha1.WorkspaceJob) (Result, error) {
	var result Result
	if job.Status.Result == nil {
		return result, fmt.Errorf("job %q, which is %s, has no result", job.Name, stateOf(job))
	}
	if err := json.Unmarshal(job.Status.Result.Raw, &result); err != nil {
		return result, fmt.Errorf("read the result of job %q: %w", job.Name, err)
	}
	return result, nil
}
