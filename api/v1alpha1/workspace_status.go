package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobCounts of a workspace by state.
type JobCounts struct {
	Scheduled int32 `json:"scheduled"`
	// +optional
	Awaiting   int32 `json:"awaiting"`
	Enqueued   int32 `json:"enqueued"`
	Processing int32 `json:"processing"`
	Succeeded  int32 `json:"succeeded"`
	Failed     int32 `json:"failed"`
	Deleted    int32 `json:"deleted"`
}

// HourCount is how many jobs finished within an hour, as far as they were counted before
// they were deleted or requeued.
type HourCount struct {
	// Hour is its beginning.
	Hour      metav1.Time `json:"hour"`
	Succeeded int32       `json:"succeeded"`
	Failed    int32       `json:"failed"`
}

// WorkspaceStatus is what is known of a workspace.
type WorkspaceStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, DatabaseReady, and while they are true Reconciling,
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Namespace, once it is the workspace's.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// SchemaVersion of the ledger in the workspace's database.
	// +optional
	SchemaVersion int64 `json:"schemaVersion,omitempty"`
	// Jobs by state, at most ten seconds old while the operator runs.
	// +optional
	Jobs *JobCounts `json:"jobs,omitempty"`
	// History of the last seven days, an entry for each hour in which a job finished,
	// oldest first. It is written with Jobs, and goes back only when that is.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=169
	History []HourCount `json:"history,omitempty"`
}
