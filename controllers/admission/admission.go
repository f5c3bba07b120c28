// Package admission decides which of a workspace's jobs may start.
//
// What must never happen: more jobs processing than the workspace allows, two of one
// concurrencyKey, two runs of a recurring job whose policy forbids it, and a job that
// could run and is forgotten.
//
// A slot is one of the jobs that a workspace processes at once. Which slots are used is
// read from the API server's objects each time, Jobs and pods, and not counted by hand:
// a [Source] lists them, out of the manager's cache. The cache may lag, so an admitted
// attempt keeps a reservation until the cache shows its Job. An operator that has just
// become the leader admits nothing in a namespace before its cache is as new as the API
// server was then.
package admission

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// Entry is a job whose next attempt is due.
type Entry struct {
	// Name of the WorkspaceJob.
	Name string
	// UID of the WorkspaceJob: another one may have had its name.
	UID types.UID
	// Version is the resource version of the WorkspaceJob that the entry was made from.
	Version string
	// Job is the name of the batch/v1 Job that its attempt will be.
	Job string
	// Priority: higher first.
	Priority int32
	// Due is since when the attempt waits: first come, first served.
	Due time.Time
	// Created is when the WorkspaceJob was; it decides among equals, then the name.
	Created time.Time
	// Key is its concurrencyKey, or "".
	Key string
	// Series is the recurring job that it is a run of, or "".
	Series string
	// Policy of the series.
	Policy v1alpha1.ConcurrencyPolicy
	// HasAttempt means that the run had an attempt before. The policy let it start then,
	// and is not asked again.
	HasAttempt bool
	// Reason that the job's status gives for waiting, or "". What the status says
	// already need not be written again by a new operator.
	Reason string
}

// EntryOf describes job, whose next attempt is due. The series is the recurring job that
// it is a run of, or nil.
func EntryOf(job *v1alpha1.WorkspaceJob, series *v1alpha1.WorkspaceRecurringJob) Entry {
	entry := Entry{
		Name: job.Name, UID: job.UID, Version: job.ResourceVersion, Job: job.AttemptName(job.Status.NextNumber()), Priority: job.Priority(),
		Due: job.Status.EnqueuedAt.Time, Created: job.CreationTimestamp.Time,
		Series: job.Series(), Policy: v1alpha1.PolicyAllow, HasAttempt: job.Status.RunAttempts > 0,
		Reason: waitingReason(&job.Status),
	}
	if next := job.Status.NextAttemptAt; entry.HasAttempt && next != nil {
		entry.Due = next.Time
	}
	if template := job.Template(); template != nil {
		entry.Key = template.ConcurrencyKey
	}
	if series != nil && !entry.HasAttempt {
		entry.Policy = series.Spec.ConcurrencyPolicy
	}
	return entry
}

// waitingReason is why the job waits for a slot, if its status says so already.
func waitingReason(status *v1alpha1.WorkspaceJobStatus) string {
	switch reason := report.Reason(status.Conditions); reason {
	case v1alpha1.ReasonQueued, v1alpha1.ReasonQueueSuspended, v1alpha1.ReasonConcurrencyKeyBusy, v1alpha1.ReasonEarlierRunActive:
		return reason
	default:
		return ""
	}
}

// sameAttempt of the same WorkspaceJob.
func (e Entry) sameAttempt(other Entry) bool { return e.UID == other.UID && e.Job == other.Job }

// Answer to an attempt that asked for a slot. The zero value means that the queue can't
// say yet.
type Answer struct {
	// Admitted means that the attempt has a slot and must start now. It keeps it until
	// the cache shows its Job, or [Queues.Leave] is called.
	Admitted bool
	// Rejected means that the run must not start at all.
	Rejected bool
	// Reason why not, one of the constants in api/v1alpha1, or "" if it is not known yet.
	Reason string
	// Before is how many jobs are before it.
	Before int
	// By names the run in its way, or "" if that is not the reason.
	By string
	// Unchanged means that the reason is the one of the last answer, and that Before has
	// not changed enough to report it.
	Unchanged bool
	// After is when to ask again, even if nothing happens.
	After time.Duration
}

// Occupant is a job that is processing: it has a Job that has not finished, or a pod that
// has not stopped.
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
	// HasAttempt means that it has had an attempt.
	HasAttempt bool
	// Due is when the run became so.
	Due time.Time
	// Created is when the WorkspaceJob was.
	Created time.Time
}

// Source lists what a namespace holds, as far as the operator's cache knows; what is
// read from the API server says so.
type Source interface {
	// Fresh reports whether the cache is as new as the API server was when Fresh was
	// first called for the namespace. Until then nobody is admitted.
	Fresh(ctx context.Context, namespace string) (bool, error)
	// Current reports whether the cache has nothing newer of the job than the entry.
	Current(ctx context.Context, namespace string, e Entry) (bool, error)
	// Waiting lists the jobs that an operator before this one has found due.
	Waiting(ctx context.Context, namespace string) ([]Entry, error)
	// Occupants lists the jobs that are processing.
	Occupants(ctx context.Context, namespace string) ([]Occupant, error)
	// Shown reports whether the cache shows a Job's pod, or that the Job has finished:
	// from then on Occupants knows of it.
	Shown(ctx context.Context, namespace, job string) (bool, error)
	// Unfinished lists the runs of a recurring job.
	Unfinished(ctx context.Context, namespace, series string) ([]Run, error)
	// Remains reports whether the API server has a Job of the entry's that is not over,
	// or a pod of one that is gone.
	Remains(ctx context.Context, namespace string, e Entry) (bool, error)
	// Exists reports whether the API server has the entry's WorkspaceJob.
	Exists(ctx context.Context, namespace string, e Entry) (bool, error)
}
