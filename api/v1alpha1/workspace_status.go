package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobCounts counts a workspace's jobs by state.
type JobCounts struct {
	// Scheduled jobs wait for their time, or for the time of their retry.
	Scheduled int32 `json:"scheduled"`
	// Awaiting jobs wait for other jobs to finish.
	// +optional
	Awaiting int32 `json:"awaiting"`
	// Enqueued jobs wait for a slot of the queue, or for their pod to start.
	Enqueued int32 `json:"enqueued"`
	// Processing jobs have a handler that is running.
	Processing int32 `json:"processing"`
	// Succeeded jobs have taken effect.
	Succeeded int32 `json:"succeeded"`
	// Failed jobs have no attempt left, or failed permanently.
	Failed int32 `json:"failed"`
	// Deleted jobs were cancelled, skipped or replaced, and still exist as objects.
	Deleted int32 `json:"deleted"`
}

// HourCount counts the jobs that finished within an hour. A job that was deleted or requeued
// before it was counted is missing.
type HourCount struct {
	// Hour is when the hour began.
	Hour metav1.Time `json:"hour"`
	// Succeeded is how many jobs succeeded within the hour.
	Succeeded int32 `json:"succeeded"`
	// Failed is how many jobs failed within the hour.
	Failed int32 `json:"failed"`
}

// WorkspaceStatus is the observed state of a workspace.
type WorkspaceStatus struct {
	// ObservedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready and DatabaseReady, and, while they are True, Reconciling and
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Namespace of the workspace, once the namespace belongs to it.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// AdoptedBy is the user who handed an existing namespace over to this Workspace, or
	// "unknown" if that was before the operator recorded it. It is empty if the operator
	// created the namespace.
	// +optional
	AdoptedBy string `json:"adoptedBy,omitempty"`
	// SchemaVersion is the version of the ledger's schema in the workspace's database.
	// +optional
	SchemaVersion int64 `json:"schemaVersion,omitempty"`
	// Jobs counts the workspace's jobs by state. It is at most ten seconds old while the
	// operator runs.
	// +optional
	Jobs *JobCounts `json:"jobs,omitempty"`
	// History of the last seven days: an entry for each hour in which a job finished,
	// oldest first. It is updated together with jobs.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=169
	History []HourCount `json:"history,omitempty"`
}
