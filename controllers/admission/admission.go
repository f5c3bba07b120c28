// Package admission decides which of a workspace's jobs may start.
//
// What must never happen: more jobs processing than the workspace allows, two of
// one concurrencyKey, two runs of a recurring job whose policy forbids it, and a
// job that could run and is forgotten.
//
// What runs is read from the API server's objects each time, Jobs and pods, and
// not counted by hand: a [Source] tells it, out of the manager's cache. The cache
// may lag, so a place is also taken from the moment of its admission until the
// cache shows what became of it. An operator that has just become the leader admits nothing
// in a namespace before its cache is as new as the API server was then.
package admission

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Entry is a job whose next attempt is due.
type Entry struct {
	// Name of the WorkspaceJob.
	Name string
	// UID of the WorkspaceJob: another one may have had its name.
	UID types.UID
	// Version of the WorkspaceJob that all this was read from.
	Version string
	// Job is the name of the batch/v1 Job that its attempt will be.
	Job string
	// Priority: higher first.
	Priority int32
	// Due is since when the attempt waits: first come, first served.
	Due time.Time
	// Created is when the WorkspaceJob was; it decides among equals, then the name.
	Created time.Time
	// Key is its concurrencyKey; "": none.
	Key string
	// Series is the recurring job that it is a run of; "": none.
	Series string
	// Policy of the series.
	Policy v1alpha1.ConcurrencyPolicy
	// TakenUp: the run has had an attempt. The policy has let it start, and does
	// not look at it again.
	TakenUp bool
	// Reason that the job's status gives for waiting; "": none. What is told there
	// already need not be told again by a new operator.
	Reason string
}

// sameAttempt of the same WorkspaceJob.
func (e Entry) sameAttempt(other Entry) bool { return e.UID == other.UID && e.Job == other.Job }

// Verdict on an attempt that asked to start.
type Verdict struct {
	// Admitted: it has a place, and must start now. If it does not, call
	// [Queues.Forget].
	Admitted bool
	// Again: it was admitted before, and nothing has been seen of its Job since. Make
	// sure that the WorkspaceJob still exists: the Job may have gone with it.
	Again bool
	// Rejected: the run must not start at all.
	Rejected bool
	// Reason why not, one of the constants in api/v1alpha1; "": it is not known yet.
	Reason string
	// Before is how many jobs are before it.
	Before int
	// By names the run in its way; "" if that is not the reason.
	By string
	// Unchanged: the reason is the one of the last verdict, and Before has not
	// changed enough to tell.
	Unchanged bool
	// After: ask again then, even if nothing happens.
	After time.Duration
}

// Occupant is a job that is processing: it has a Job that has not finished, or a
// pod that has not stopped.
type Occupant struct {
	// Name of the WorkspaceJob.
	Name string
	// Key is its concurrencyKey.
	Key string
}

// Run is an unfinished run of a recurring job, due already.
type Run struct {
	// Name of the WorkspaceJob.
	Name string
	// TakenUp: it has had an attempt.
	TakenUp bool
	// Due is when the run became so.
	Due time.Time
	// Created is when the WorkspaceJob was.
	Created time.Time
}

// Source tells how things stand in a namespace, as far as the operator's cache
// knows.
type Source interface {
	// Fresh reports whether the cache is as new as the API server was when Fresh
	// was first called for the namespace. Until then nobody is admitted.
	Fresh(ctx context.Context, namespace string) (bool, error)
	// Current reports whether the cache has nothing newer of the job than the entry.
	Current(ctx context.Context, namespace string, e Entry) (bool, error)
	// Waiting are the jobs that an operator before this one has found due.
	Waiting(ctx context.Context, namespace string) ([]Entry, error)
	// Occupants are the jobs that are processing.
	Occupants(ctx context.Context, namespace string) ([]Occupant, error)
	// Started reports whether the cache shows that a Job was started, whatever
	// became of it since.
	Started(ctx context.Context, namespace, job string) (bool, error)
	// Shown reports whether the cache shows a Job's pod, or that the Job has finished:
	// from then on Occupants tells of it.
	Shown(ctx context.Context, namespace, job string) (bool, error)
	// Unfinished are the runs of a recurring job.
	Unfinished(ctx context.Context, namespace, series string) ([]Run, error)
}
