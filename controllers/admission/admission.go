// Package admission decides which of a workspace's jobs may start.
//
// It never lets more jobs process at once than the workspace allows, nor two with the same
// concurrencyKey, nor two runs of a recurring job whose policy forbids that, and it never
// forgets a job that could run.
//
// A slot is one of the jobs that a workspace processes at once. Which slots are in use is
// not kept in a counter but read each time from Jobs and pods, which a [Source] lists from
// the manager's cache. The cache may lag, so an admitted attempt keeps a reservation until
// the cache shows its pod, or that its Job is over. A new leader admits nothing in a
// namespace until its cache is as new as the API server was when the leader first asked.
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
	// UID of the WorkspaceJob: an earlier one may have had the same name.
	UID types.UID
	// Version is the resource version of the WorkspaceJob that the entry was made from.
	Version string
	// Job is the name of the batch/v1 Job that its attempt will be.
	Job string
	// Priority is the job's: a higher one comes first.
	Priority int32
	// Due is when the attempt became due: first come, first served.
	Due time.Time
	// Created is when the WorkspaceJob was created. It breaks ties, and then the name does.
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
	// Reason is the one that the job's status gives for waiting, or "". A new operator need not
	// repeat what the status already says.
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

// waitingReason returns why the job waits for a slot, as its status says, or "".
func waitingReason(status *v1alpha1.WorkspaceJobStatus) string {
	switch reason := report.Reason(status.Conditions); reason {
	case v1alpha1.ReasonQueued, v1alpha1.ReasonQueueSuspended, v1alpha1.ReasonConcurrencyKeyBusy, v1alpha1.ReasonEarlierRunActive:
		return reason
	default:
		return ""
	}
}

// sameAttempt reports whether both are for the same attempt of the same WorkspaceJob.
func (e Entry) sameAttempt(other Entry) bool { return e.UID == other.UID && e.Job == other.Job }

// Answer is the queue's answer to an attempt that asked for a slot. One without Admitted,
// Rejected and Reason means that the queue can't say yet.
type Answer struct {
	// Admitted means that the attempt has a slot and must start now. It keeps the
	// reservation until the cache shows its pod, or that its Job is over, or until
	// [Queues.Leave] is called.
	Admitted bool
	// Rejected means that the run must not start at all.
	Rejected bool
	// Reason why not, one of the constants in api/v1alpha1, or "" if it is not known yet.
	Reason string
	// Before is how many jobs are ahead of it in the queue.
	Before int
	// By names the run that keeps it from starting, or "" if that is not the reason.
	By string
	// Unchanged means that the reason is the same as in the last answer, and that Before
	// has not changed enough to be reported.
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

// Run is an unfinished run of a recurring job that is already due.
type Run struct {
	// Name of the WorkspaceJob.
	Name string
	// HasAttempt means that it has had an attempt.
	HasAttempt bool
	// Due is when the run became due.
	Due time.Time
	// Created is when the WorkspaceJob was created.
	Created time.Time
}

// Source lists what a namespace holds, from the operator's cache unless a method names the
// API server.
type Source interface {
	// Fresh reports whether the cache is as new as the API server was when Fresh was
	// first called for the namespace. Until then nothing is admitted.
	Fresh(ctx context.Context, namespace string) (bool, error)
	// Current reports whether the entry was made from the job as the cache has it now.
	Current(ctx context.Context, namespace string, e Entry) (bool, error)
	// Waiting lists the jobs that wait for a slot according to their status, which an
	// earlier operator may have written.
	Waiting(ctx context.Context, namespace string) ([]Entry, error)
	// Occupants lists the jobs that are processing.
	Occupants(ctx context.Context, namespace string) ([]Occupant, error)
	// Shown reports whether the cache shows the Job's pod, or that the Job is over. From
	// then on Occupants alone says whether it uses a slot.
	Shown(ctx context.Context, namespace, job string) (bool, error)
	// Unfinished lists the runs of a recurring job.
	Unfinished(ctx context.Context, namespace, series string) ([]Run, error)
	// Remains reports whether the API server has the entry's Job and it is not over, or
	// has a pod of it although the Job is gone.
	Remains(ctx context.Context, namespace string, e Entry) (bool, error)
	// Exists reports whether the API server has the entry's WorkspaceJob.
	Exists(ctx context.Context, namespace string, e Entry) (bool, error)
}
