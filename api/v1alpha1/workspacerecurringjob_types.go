package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConcurrencyPolicy says what a run does that becomes due while an earlier run of
// the same recurring job is unfinished. Scheduled and triggered runs count alike,
// and a run is unfinished also while it waits for its next attempt.
//
// +kubebuilder:validation:Enum=Forbid;Allow;Replace;Queue
type ConcurrencyPolicy string

// Policies.
const (
	// PolicyForbid: the new run is Deleted.
	PolicyForbid ConcurrencyPolicy = "Forbid"
	// PolicyAllow: both run.
	PolicyAllow ConcurrencyPolicy = "Allow"
	// PolicyReplace: the earlier run is stopped, and the new one starts when it is
	// gone.
	PolicyReplace ConcurrencyPolicy = "Replace"
	// PolicyQueue: the new run waits until the earlier ones have finished. At most
	// MaxQueuedRuns wait; a run that would be one more is Deleted.
	PolicyQueue ConcurrencyPolicy = "Queue"
)

// MaxQueuedRuns is how many runs of a recurring job with the policy Queue may wait.
const MaxQueuedRuns = 10

// WorkspaceRecurringJobSpec says what to run, and when again and again.
type WorkspaceRecurringJobSpec struct {
	// Schedule: five fields (minute, hour, day of month, month, day of week) as in
	// cron, or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
	// H in a field stands for a value that is fixed by a hash of namespace and name,
	// as in Jenkins: it spreads load. H(0-29), H/15 and H(0-29)/10 work too.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Schedule string `json:"schedule"`

	// TimeZone of the schedule, a name of the IANA time zone database.
	//
	// +optional
	// +kubebuilder:default="Etc/UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// ConcurrencyPolicy: Forbid, Allow, Replace or Queue.
	//
	// +optional
	// +kubebuilder:default=Forbid
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// StartingDeadline is how late a missed run may still start, for example after
	// the schedule was suspended or the control plane was down. Unset: however late,
	// but only the newest missed one.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.hms]+[hms]$') || duration(self) >= duration('10s') && duration(self) <= duration('8760h')",message="must be between 10s and 8760h (a year)"
	StartingDeadline *Duration `json:"startingDeadline,omitempty"`

	// Suspend pauses the schedule: no run becomes due. Runs can still be triggered.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// History says how many finished runs are kept.
	//
	// +optional
	// +kubebuilder:default={}
	History *History `json:"history,omitempty"`

	// Template of the runs. A change holds for the runs that become due from then
	// on.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="has(self.handler)",message="template.handler is needed: the name of a handler in the workspace's runner image"
	Template JobTemplate `json:"template"`
}

// History of a recurring job: its finished runs that stay. Those that the schedule
// made and those that name it as their owner count; the oldest go first.
type History struct {
	// Succeeded runs to keep, and as many that were Deleted.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Succeeded *int32 `json:"succeeded,omitempty"`
	// Failed runs to keep.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Failed *int32 `json:"failed,omitempty"`
}

// LastRun is the run that ended last.
type LastRun struct {
	// Name of the WorkspaceJob.
	Name string `json:"name"`
	// State that it ended in.
	State JobState `json:"state"`
	// FinishedAt is when it ended.
	FinishedAt metav1.Time `json:"finishedAt"`
}

// WorkspaceRecurringJobStatus is what is known of a recurring job.
type WorkspaceRecurringJobStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready (the schedule is accepted and in place), LastRunSucceeded,
	// and while they are true Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Schedule that Kubernetes keeps: spec.schedule with a number for each H.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// NextScheduledAt is when the next run is due; unset while suspended.
	// +optional
	NextScheduledAt *metav1.Time `json:"nextScheduledAt,omitempty"`
	// LastScheduledAt is the time that the latest scheduled run was due.
	// +optional
	LastScheduledAt *metav1.Time `json:"lastScheduledAt,omitempty"`
	// LastSucceededAt is when a run last succeeded.
	// +optional
	LastSucceededAt *metav1.Time `json:"lastSucceededAt,omitempty"`
	// LastMissedAt is the time that the latest missed run was due.
	// +optional
	LastMissedAt *metav1.Time `json:"lastMissedAt,omitempty"`
	// MissedRuns counts runs that were due, while the schedule was not suspended,
	// and were not started: the control plane was down, or startingDeadline ran out.
	// +optional
	MissedRuns int64 `json:"missedRuns,omitempty"`
	// SkippedRuns counts runs that the concurrencyPolicy did not let start.
	// +optional
	SkippedRuns int64 `json:"skippedRuns,omitempty"`
	// ConsecutiveFailures counts runs that have Failed since one succeeded.
	// +optional
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`
	// Active are the names of the unfinished runs, oldest first; at most 1,000.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Active []string `json:"active,omitempty"`
	// LastRun is the run that ended last.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`
}

// WorkspaceRecurringJob makes a WorkspaceJob each time that its schedule says so.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wrj,categories=openradius
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Time Zone",type=string,JSONPath=`.spec.timeZone`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Last Run",type=string,JSONPath=`.status.lastRun.state`
// +kubebuilder:printcolumn:name="Failures",type=integer,JSONPath=`.status.consecutiveFailures`
// +kubebuilder:printcolumn:name="Last Scheduled",type=date,JSONPath=`.status.lastScheduledAt`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextScheduledAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:selectablefield:JSONPath=`.spec.template.handler`
// +kubebuilder:selectablefield:JSONPath=`.spec.suspend`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 46",message="a WorkspaceRecurringJob's name must be at most 46 characters long, so that its runs can add the minute and their attempts a number"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="a WorkspaceRecurringJob's name must be a DNS label: lower-case letters, digits and '-'"
type WorkspaceRecurringJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run, and when.
	// +required
	Spec WorkspaceRecurringJobSpec `json:"spec"`
	// Status is written by the operator.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status WorkspaceRecurringJobStatus `json:"status,omitempty"`
}

// WorkspaceRecurringJobList is a list of WorkspaceRecurringJobs.
//
// +kubebuilder:object:root=true
type WorkspaceRecurringJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkspaceRecurringJob `json:"items"`
}
