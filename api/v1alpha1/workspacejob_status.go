package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// JobState is one of Hangfire's states of a job.
//
// +kubebuilder:validation:Enum=Scheduled;Awaiting;Enqueued;Processing;Succeeded;Failed;Deleted
type JobState string

// States of a job. Succeeded, Failed and Deleted are final until the job is requeued.
const (
	// StateScheduled means that the job, or its next attempt, is due at a later time.
	StateScheduled JobState = "Scheduled"
	// StateAwaiting means that a parent of this continuation has not finished.
	StateAwaiting JobState = "Awaiting"
	// StateEnqueued means that the job is due and its handler has not started yet.
	StateEnqueued JobState = "Enqueued"
	// StateProcessing means that the handler is running.
	StateProcessing JobState = "Processing"
	// StateSucceeded means that the run took effect.
	StateSucceeded JobState = "Succeeded"
	// StateFailed means that no attempt is left, or that the error is permanent.
	StateFailed JobState = "Failed"
	// StateDeleted means that the job was cancelled, or will never run.
	StateDeleted JobState = "Deleted"
)

// JobStates returns all states, in the order of a job's life.
func JobStates() []JobState {
	return []JobState{StateScheduled, StateAwaiting, StateEnqueued, StateProcessing, StateSucceeded, StateFailed, StateDeleted}
}

// Final reports whether nothing more happens in this state until the job is requeued.
func (s JobState) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateDeleted
}

// AttemptOutcome is how an attempt ended.
//
// +kubebuilder:validation:Enum=Succeeded;Failed;PermanentFailure;TimedOut;Interrupted;NotStarted;Lost;Cancelled;Replaced
type AttemptOutcome string

// Outcomes of an attempt.
const (
	OutcomeSucceeded AttemptOutcome = "Succeeded"
	// OutcomeFailed is retried while the retry policy allows it.
	OutcomeFailed AttemptOutcome = "Failed"
	// OutcomePermanentFailure is never retried.
	OutcomePermanentFailure AttemptOutcome = "PermanentFailure"
	// OutcomeTimedOut means that spec.timeout ran out.
	OutcomeTimedOut AttemptOutcome = "TimedOut"
	// OutcomeInterrupted means that the pod was stopped, for example by hand. A pod on a
	// drained node is replaced within the same attempt.
	OutcomeInterrupted AttemptOutcome = "Interrupted"
	// OutcomeNotStarted means that the pod did not start within the operator's pending
	// limit.
	OutcomeNotStarted AttemptOutcome = "NotStarted"
	// OutcomeLost means that the attempt's Job was deleted before the operator saw its
	// end. The ledger knows whether it took effect; the next attempt finds out.
	OutcomeLost AttemptOutcome = "Lost"
	// OutcomeCancelled means that spec.cancelled stopped the attempt.
	OutcomeCancelled AttemptOutcome = "Cancelled"
	// OutcomeReplaced means that the attempt was stopped for a newer run of its recurring
	// job.
	OutcomeReplaced AttemptOutcome = "Replaced"
)

// Attempt is one try to complete a run: one batch/v1 Job with one pod.
type Attempt struct {
	// Number of the attempt, counted from 1 over all runs of the job. The Job's name ends
	// with it.
	Number int32 `json:"number"`
	// Run is the number of the run that the attempt belongs to.
	Run int32 `json:"run"`
	// Job is the name of the batch/v1 Job.
	Job string `json:"job"`
	// JobUID distinguishes that Job from any other of the same name.
	// +optional
	JobUID types.UID `json:"jobUID,omitempty"`
	// CreatedAt is when the Job was created, or, if a schedule created it, when the operator
	// started it.
	CreatedAt metav1.Time `json:"createdAt"`
	// StartedAt is when the handler's process started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// FinishedAt is when the attempt ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// Outcome says how the attempt ended. It is unset until then.
	// +optional
	Outcome AttemptOutcome `json:"outcome,omitempty"`
	// ExitCode of the process, if it ran.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Error is the error that the runner reported, cut to 1,024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Error string `json:"error,omitempty"`
}

// ParentStatus records how a parent ended. Once it is recorded, requeuing or deleting the
// parent no longer affects the continuation.
type ParentStatus struct {
	// Name of the WorkspaceJob.
	Name string `json:"name"`
	// State that it ended in.
	State JobState `json:"state"`
	// FinishedAt is when it ended.
	FinishedAt metav1.Time `json:"finishedAt"`
}

// WorkspaceJobStatus is the observed state of a job.
type WorkspaceJobStatus struct {
	// ObservedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// State of the job, as in Hangfire.
	// +optional
	State JobState `json:"state,omitempty"`
	// Queue is the name of the job's queue: "workspace_<workspace>".
	// +optional
	Queue string `json:"queue,omitempty"`
	// Message says why the job is in its state.
	// +optional
	Message string `json:"message,omitempty"`
	// Conditions are Ready and Succeeded, and, while they are True, Reconciling and
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Run is the number of the current run, from 1. Each requeue starts a new run.
	// +optional
	Run int32 `json:"run,omitempty"`
	// RunAttempts counts the attempts of the current run.
	// +optional
	RunAttempts int32 `json:"runAttempts,omitempty"`
	// Attempts are the last 20 attempts, oldest first.
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
	// Parents that have ended as spec.after requires.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Parents []ParentStatus `json:"parents,omitempty"`
	// Template of the recurring job that recurringJobRef names, as it was when the operator
	// first saw this job. All attempts run it.
	// +optional
	Template *JobTemplate `json:"template,omitempty"`
	// Result that the handler returned: JSON of at most 4,000 bytes.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Result *apiextensionsv1.JSON `json:"result,omitempty"`
}
