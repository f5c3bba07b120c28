package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// JobState is one of Hangfire's states.
//
// +kubebuilder:validation:Enum=Scheduled;Awaiting;Enqueued;Processing;Succeeded;Failed;Deleted
type JobState string

// States. Succeeded, Failed and Deleted are final until the job is requeued.
const (
	// StateScheduled: its time has not come; also between attempts.
	StateScheduled JobState = "Scheduled"
	// StateAwaiting: a parent of this continuation has not finished.
	StateAwaiting JobState = "Awaiting"
	// StateEnqueued: due; the handler has not started yet.
	StateEnqueued JobState = "Enqueued"
	// StateProcessing: the handler is running.
	StateProcessing JobState = "Processing"
	// StateSucceeded: the run has taken effect.
	StateSucceeded JobState = "Succeeded"
	// StateFailed: the attempts are used up, or the error is permanent.
	StateFailed JobState = "Failed"
	// StateDeleted: cancelled, or never to run.
	StateDeleted JobState = "Deleted"
)

// JobStates in the order of a job's life.
func JobStates() []JobState {
	return []JobState{StateScheduled, StateAwaiting, StateEnqueued, StateProcessing, StateSucceeded, StateFailed, StateDeleted}
}

// Final: nothing more happens in this state until the job is requeued.
func (s JobState) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateDeleted
}

// AttemptOutcome is how an attempt ended.
//
// +kubebuilder:validation:Enum=Succeeded;Failed;PermanentFailure;TimedOut;Interrupted;NotStarted;Lost;Cancelled;Replaced
type AttemptOutcome string

// Outcomes.
const (
	OutcomeSucceeded AttemptOutcome = "Succeeded"
	// OutcomeFailed: tried again, while the retry policy allows it.
	OutcomeFailed AttemptOutcome = "Failed"
	// OutcomePermanentFailure: never tried again.
	OutcomePermanentFailure AttemptOutcome = "PermanentFailure"
	// OutcomeTimedOut: spec.timeout ran out.
	OutcomeTimedOut AttemptOutcome = "TimedOut"
	// OutcomeInterrupted: the pod was told to stop, by hand for instance. That of a
	// drained node is replaced within its attempt.
	OutcomeInterrupted AttemptOutcome = "Interrupted"
	// OutcomeNotStarted: its pod could not start within the operator's pending
	// limit.
	OutcomeNotStarted AttemptOutcome = "NotStarted"
	// OutcomeLost: its Job was deleted before its end was seen. The ledger knows
	// whether it took effect; the next attempt finds out.
	OutcomeLost AttemptOutcome = "Lost"
	// OutcomeCancelled: stopped by spec.cancelled.
	OutcomeCancelled AttemptOutcome = "Cancelled"
	// OutcomeReplaced: stopped because a newer run of its recurring job replaces
	// it.
	OutcomeReplaced AttemptOutcome = "Replaced"
)

// Attempt is one try of a run: one batch/v1 Job, one pod.
type Attempt struct {
	// Number counts over all runs of the object, from 1. The Job's name ends
	// with it.
	Number int32 `json:"number"`
	// Run is the run that it belongs to.
	Run int32 `json:"run"`
	// Job is the name of the batch/v1 Job.
	Job string `json:"job"`
	// JobUID tells that Job from another one of the same name.
	// +optional
	JobUID types.UID `json:"jobUID,omitempty"`
	// CreatedAt is when the Job was created.
	CreatedAt metav1.Time `json:"createdAt"`
	// StartedAt is when the handler's process started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// FinishedAt is when the attempt ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// Outcome once it has ended.
	// +optional
	Outcome AttemptOutcome `json:"outcome,omitempty"`
	// ExitCode of the process, if it ran.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Error is what the runner said, at most 1,024 characters here.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Error string `json:"error,omitempty"`
}

// ParentStatus is how a parent ended, once that was seen: what it does afterwards,
// requeued or deleted, no longer matters to the continuation.
type ParentStatus struct {
	// Name of the WorkspaceJob.
	Name string `json:"name"`
	// State that it ended in.
	State JobState `json:"state"`
	// FinishedAt is when it ended.
	FinishedAt metav1.Time `json:"finishedAt"`
}

// WorkspaceJobStatus is what is known of a job.
type WorkspaceJobStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// State is Hangfire's state of the job.
	// +optional
	State JobState `json:"state,omitempty"`
	// Queue is "workspace_<workspace>".
	// +optional
	Queue string `json:"queue,omitempty"`
	// Message says in a sentence why the job is in its state.
	// +optional
	Message string `json:"message,omitempty"`
	// Conditions: Ready, Succeeded, and while they are true Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Run counts from 1; each requeue is a new run.
	// +optional
	Run int32 `json:"run,omitempty"`
	// RunAttempts counts the attempts of this run.
	// +optional
	RunAttempts int32 `json:"runAttempts,omitempty"`
	// Attempts are the last 20, oldest first.
	// +optional
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=20
	Attempts []Attempt `json:"attempts,omitempty"`
	// NextAttemptAt is when the next attempt is due.
	// +optional
	NextAttemptAt *metav1.Time `json:"nextAttemptAt,omitempty"`
	// EnqueuedAt is when the run became due.
	// +optional
	EnqueuedAt *metav1.Time `json:"enqueuedAt,omitempty"`
	// StartedAt is when the run's first attempt started its handler.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// FinishedAt is when the run ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// Parents that have ended as spec.after wants it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Parents []ParentStatus `json:"parents,omitempty"`
	// Template is the recurring job's, as it was when this job with
	// recurringJobRef was first seen: what all its attempts run.
	// +optional
	Template *JobTemplate `json:"template,omitempty"`
	// Result is what the handler returned: JSON, at most 4,000 bytes.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Result *apiextensionsv1.JSON `json:"result,omitempty"`
}
