package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConcurrencyPolicy says what happens when a run becomes due while an earlier run of the
// same recurring job is unfinished. Scheduled and triggered runs are treated alike. A run that
// waits for its next attempt is unfinished, too.
//
// +kubebuilder:validation:Enum=Forbid;Allow;Replace;Queue
type ConcurrencyPolicy string

// Policies for runs that overlap.
const (
	// PolicyForbid skips the new run: it becomes Deleted.
	PolicyForbid ConcurrencyPolicy = "Forbid"
	// PolicyAllow lets both run.
	PolicyAllow ConcurrencyPolicy = "Allow"
	// PolicyReplace stops the earlier run, and starts the new one once its pod is gone.
	PolicyReplace ConcurrencyPolicy = "Replace"
	// PolicyQueue lets the new run wait until the earlier ones have finished. At most
	// MaxQueuedRuns wait; any further run becomes Deleted.
	PolicyQueue ConcurrencyPolicy = "Queue"
)

// MaxQueuedRuns is how many runs of a recurring job with the policy Queue can wait.
const MaxQueuedRuns = 10

// WorkspaceRecurringJobSpec says what to run, and on which schedule.
type WorkspaceRecurringJobSpec struct {
	// Schedule in cron's format: five fields (minute, hour, day of month, month, day of
	// week), or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually.
	// As in Jenkins, H in a field stands for a value that is derived from a hash of namespace
	// and name, which spreads the load. H(0-29), H/15 and H(0-29)/10 work, too.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Schedule string `json:"schedule"`

	// TimeZone of the schedule: a name from the IANA time zone database.
	//
	// +optional
	// +kubebuilder:default="Etc/UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// ConcurrencyPolicy says what happens when a run becomes due while an earlier one is
	// unfinished: Forbid skips the new run, Allow runs both, Replace stops the earlier run,
	// Queue lets the new run wait.
	//
	// +optional
	// +kubebuilder:default=Forbid
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// StartingDeadline is how late a missed run can still start, for example after the
	// schedule was suspended or the control plane was down. Unset: at any later time, but
	// only the latest missed run starts.
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

	// Template of the runs. A change applies to the runs that become due after it.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="has(self.handler)",message="template.handler is required: the name of a handler in the workspace's runner image"
	Template JobTemplate `json:"template"`
}

// History says how many finished runs of a recurring job are kept. It counts the runs that
// belong to the recurring job: scheduled ones, and others that name it as their owner. The
// oldest are deleted first.
type History struct {
	// Succeeded is how many runs that Succeeded are kept, and how many that were Deleted.
	//
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Succeeded *int32 `json:"succeeded,omitempty"`
	// Failed is how many runs that Failed are kept.
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

// WorkspaceRecurringJobStatus is the observed state of a recurring job.
type WorkspaceRecurringJobStatus struct {
	// ObservedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Ready (the schedule is accepted, and active or suspended) and
	// LastRunSucceeded, and, while they are True, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Schedule of the CronJob: spec.schedule with a number for each H.
	// +optional
	Schedule string `json:"schedule,omitempty"`
	// CronJobGeneration is the generation that the CronJob had when the operator last wrote
	// it. Another one means that somebody has changed the CronJob, and the operator writes
	// it again.
	// +optional
	CronJobGeneration int64 `json:"cronJobGeneration,omitempty"`
	// NextScheduledAt is when the next run is due; unset while suspended.
	// +optional
	NextScheduledAt *metav1.Time `json:"nextScheduledAt,omitempty"`
	// LastScheduledAt is when the latest scheduled run was due.
	// +optional
	LastScheduledAt *metav1.Time `json:"lastScheduledAt,omitempty"`
	// LastSucceededAt is when a run last succeeded.
	// +optional
	LastSucceededAt *metav1.Time `json:"lastSucceededAt,omitempty"`
	// LastMissedAt is when the latest missed run was due.
	// +optional
	LastMissedAt *metav1.Time `json:"lastMissedAt,omitempty"`
	// MissedRuns counts the runs that were due while the schedule was not suspended and
	// did not start: the control plane was down, startingDeadline had passed, a WorkspaceJob
	// had the run's name, or somebody started the run's Job by hand.
	// +optional
	MissedRuns int64 `json:"missedRuns,omitempty"`
	// SkippedRuns counts the runs that did not start because of the concurrencyPolicy.
	// +optional
	SkippedRuns int64 `json:"skippedRuns,omitempty"`
	// ConsecutiveFailures counts the runs that have Failed since the last one that
	// succeeded.
	// +optional
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`
	// Active lists the names of the unfinished runs, oldest first; at most 1,000.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Active []string `json:"active,omitempty"`
	// LastRun is the run that ended last.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`
}

// WorkspaceRecurringJob creates WorkspaceJobs from a template, on a schedule.
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
// +kubebuilder:printcolumn:name="Created By",type=string,priority=1,JSONPath=`.metadata.annotations.jobs\.openradius\.io/created-by`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:selectablefield:JSONPath=`.spec.template.handler`
// +kubebuilder:selectablefield:JSONPath=`.spec.suspend`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 46",message="a WorkspaceRecurringJob's name must be at most 46 characters long, so that its runs can add the minute and their attempts a number"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="a WorkspaceRecurringJob's name must be a DNS label: lower-case letters, digits and '-'"
type WorkspaceRecurringJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run, and on which schedule.
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
