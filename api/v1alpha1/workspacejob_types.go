package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobTemplate says what to run and how often to retry. A WorkspaceJob and the template of a
// WorkspaceRecurringJob share these fields.
type JobTemplate struct {
	// Handler is the name of the handler to run, one of those in the workspace's runner
	// image.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	Handler string `json:"handler,omitempty"`

	// Args are the handler's arguments: a JSON object of at most 64 KiB. The handler
	// rejects fields that it doesn't know.
	//
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Args *apiextensionsv1.JSON `json:"args,omitempty"`

	// Priority orders the jobs that wait in the workspace's queue: the highest first, and
	// first come, first served among equals. Unset: 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=1000
	Priority *int32 `json:"priority,omitempty"`

	// ConcurrencyKey limits the workspace's jobs with the same key to one that is
	// processing; the others wait. Between two attempts of a job, another job with its key
	// can run.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConcurrencyKey string `json:"concurrencyKey,omitempty"`

	// Retry says how often and when a failed attempt is retried.
	//
	// +optional
	Retry *RetryPolicy `json:"retry,omitempty"`

	// Timeout limits each attempt, counted from the start of its process. Unset: no limit.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.hms]+[hms]$') || duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="must be between 1s and 8760h (a year)"
	Timeout *Duration `json:"timeout,omitempty"`

	// Resources of the attempt's container, instead of the workspace's.
	//
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// TTLAfterFinished is how long the job is kept after its end. Unset: as long as the
	// workspace's retention says. Don't let a job expire while a GitOps pipeline has its
	// manifest: the pipeline creates it again, and it runs again.
	//
	// +optional
	TTLAfterFinished *Duration `json:"ttlAfterFinished,omitempty"`
}

// WorkspaceJobSpec says what to run, when, and how often to retry. Once the job exists, only
// priority, cancelled, requeueAt and ttlAfterFinished can change.
//
// The rules compare durations by value, because Go programs write 10m back as 10m0s.
//
// +kubebuilder:validation:XValidation:rule="has(self.handler) != has(self.recurringJobRef)",message="set handler, or recurringJobRef to run a recurring job's template now: one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.recurringJobRef) || !(has(self.args) || has(self.concurrencyKey) || has(self.retry) || has(self.timeout) || has(self.resources))",message="a job with recurringJobRef takes args, concurrencyKey, retry, timeout and resources from the recurring job's template: remove them here, or set handler instead of recurringJobRef"
// +kubebuilder:validation:XValidation:rule="!(has(self.delay) && has(self.runAt))",message="delay and runAt exclude each other: set one of them, or neither to run now"
// +kubebuilder:validation:XValidation:rule="has(self.handler) == has(oldSelf.handler) && (!has(self.handler) || self.handler == oldSelf.handler)",message="handler can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.args) == has(oldSelf.args) && (!has(self.args) || self.args == oldSelf.args)",message="args can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.concurrencyKey) == has(oldSelf.concurrencyKey) && (!has(self.concurrencyKey) || self.concurrencyKey == oldSelf.concurrencyKey)",message="concurrencyKey can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.delay) == has(oldSelf.delay) && (!has(self.delay) || duration(self.delay) == duration(oldSelf.delay)) && has(self.runAt) == has(oldSelf.runAt) && (!has(self.runAt) || self.runAt == oldSelf.runAt)",message="delay and runAt can't change once the job exists: to run it at another time set cancelled and create another WorkspaceJob; to run it again set requeueAt"
// +kubebuilder:validation:XValidation:rule="(has(self.after) ? self.after : []) == (has(oldSelf.after) ? oldSelf.after : [])",message="after can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.recurringJobRef) == has(oldSelf.recurringJobRef) && (!has(self.recurringJobRef) || self.recurringJobRef == oldSelf.recurringJobRef)",message="recurringJobRef can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.retry) == has(oldSelf.retry) && (!has(self.retry) || self.retry.limit == oldSelf.retry.limit && self.retry.factor == oldSelf.retry.factor && duration(self.retry.minDelay) == duration(oldSelf.retry.minDelay) && duration(self.retry.maxDelay) == duration(oldSelf.retry.maxDelay))",message="retry can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.timeout) == has(oldSelf.timeout) && (!has(self.timeout) || duration(self.timeout) == duration(oldSelf.timeout))",message="timeout can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources) && (!has(self.resources) || self.resources == oldSelf.resources)",message="resources can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
type WorkspaceJobSpec struct {
	JobTemplate `json:",inline"`

	// RecurringJobRef triggers a recurring job: its template runs now, as it is when the
	// operator first sees this job. The recurring job's concurrencyPolicy applies; its
	// schedule is not affected. Set either this or handler.
	//
	// +optional
	RecurringJobRef *RecurringJobRef `json:"recurringJobRef,omitempty"`

	// Delay is how long after its creation the job runs or, with after, how long after its
	// last parent finished. Set at most one of delay and runAt.
	//
	// +optional
	Delay *Duration `json:"delay,omitempty"`

	// RunAt is the time at which the job runs. A time in the past means now. Set at most
	// one of delay and runAt.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	RunAt *metav1.Time `json:"runAt,omitempty"`

	// After makes this job a continuation: it runs once all of these jobs of the same
	// namespace, its parents, have ended as required. If one of them can no longer do so,
	// this job becomes Deleted.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	After []Parent `json:"after,omitempty"`

	// Cancelled stops the job, or keeps it from running. A running attempt is stopped and
	// its transaction rolled back. A finished job stays as it is.
	//
	// +optional
	Cancelled bool `json:"cancelled,omitempty"`

	// RequeueAt is a time at which the job runs again, as a new run with attempts of its
	// own, if it finished before that time. It is declarative: setting the same time twice
	// runs the job once.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	RequeueAt *metav1.Time `json:"requeueAt,omitempty"`
}

// RecurringJobRef names a WorkspaceRecurringJob in the same namespace.
type RecurringJobRef struct {
	// Name of the WorkspaceRecurringJob.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=46
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// ParentOutcome is how a parent has to end for its continuation to run.
//
// +kubebuilder:validation:Enum=Succeeded;Failed;Deleted;Finished
type ParentOutcome string

// Outcomes of a parent. The first three are the final states.
const (
	AfterSucceeded ParentOutcome = "Succeeded"
	AfterFailed    ParentOutcome = "Failed"
	AfterDeleted   ParentOutcome = "Deleted"
	// AfterFinished stands for any final state.
	AfterFinished ParentOutcome = "Finished"
)

// Parent is a job that a continuation waits for.
type Parent struct {
	// Name of a WorkspaceJob in the same namespace. The parent may be created after its
	// continuation, within the operator's limit for missing parents.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// When says how the parent has to end: Succeeded, Failed, Deleted, or Finished for any
	// of them.
	//
	// +optional
	// +kubebuilder:default=Succeeded
	When ParentOutcome `json:"when,omitempty"`
}

// RetryPolicy says how often and when a failed attempt is retried: the next attempt starts
// minDelay·factor^(n-1) after the run's n-th failed one, and at most maxDelay after it.
//
// +kubebuilder:validation:XValidation:rule="duration(self.minDelay) <= duration(self.maxDelay)",message="retry.minDelay must not be longer than retry.maxDelay"
type RetryPolicy struct {
	// Limit is how many times a run is retried; 0 means never. Hangfire's AutomaticRetry
	// has the same default.
	//
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Limit *int32 `json:"limit,omitempty"`

	// MinDelay is the delay before the first retry.
	//
	// +optional
	// +kubebuilder:default="15s"
	MinDelay *Duration `json:"minDelay,omitempty"`

	// MaxDelay is the longest delay before a retry.
	//
	// +optional
	// +kubebuilder:default="2h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.hms]+[hms]$') || duration(self) <= duration('8760h')",message="must be at most 8760h (a year)"
	MaxDelay *Duration `json:"maxDelay,omitempty"`

	// Factor by which the delay grows with each retry.
	//
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Factor *int32 `json:"factor,omitempty"`
}

// Resources are those of a runner's container: cpu, memory and ephemeral-storage.
//
// The rules call quantity() only on text without a minus: parsing "1e-9999999999" takes
// minutes, in the API server and in the operator.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || string(self.requests[k]).contains('-') || string(self.limits[k]).contains('-') || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",message="a request must not be larger than its limit"
type Resources struct {
	// Requests are reserved for the container.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=3
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",message="only cpu, memory and ephemeral-storage can be set"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(string(self[k])) <= 20 && !string(self[k]).matches('[-eE]'))",message="each must be a quantity such as 500m or 256Mi, without a sign or an exponent, at most 20 characters long"
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Limits are what the container can use at most.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=3
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",message="only cpu, memory and ephemeral-storage can be set"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(string(self[k])) <= 20 && !string(self[k]).matches('[-eE]'))",message="each must be a quantity such as 500m or 256Mi, without a sign or an exponent, at most 20 characters long"
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// WorkspaceJob is one background job: a handler and its arguments. It takes effect once in
// the database of the workspace that its namespace belongs to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wj,categories=openradius
// +kubebuilder:printcolumn:name="Handler",type=string,JSONPath=`.spec.handler`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Attempts",type=integer,JSONPath=`.status.runAttempts`
// +kubebuilder:printcolumn:name="Started",type=date,JSONPath=`.status.startedAt`
// +kubebuilder:printcolumn:name="Finished",type=date,JSONPath=`.status.finishedAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Created By",type=string,priority=1,JSONPath=`.metadata.annotations.jobs\.openradius\.io/created-by`
// +kubebuilder:printcolumn:name="Queue",type=string,priority=1,JSONPath=`.status.queue`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`
// +kubebuilder:selectablefield:JSONPath=`.spec.handler`
// +kubebuilder:selectablefield:JSONPath=`.spec.concurrencyKey`
// +kubebuilder:selectablefield:JSONPath=`.spec.recurringJobRef.name`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:selectablefield:JSONPath=`.status.runAttempts`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 58",message="a WorkspaceJob's name must be at most 58 characters long, so that its attempts' Jobs can add a number"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.after) || self.spec.after.all(p, p.name != self.metadata.name)",message="after must not name the job itself"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="a WorkspaceJob's name must be a DNS label: lower-case letters, digits and '-'"
type WorkspaceJob struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to run, when, and how often to retry.
	// +required
	Spec WorkspaceJobSpec `json:"spec"`
	// Status is written by the operator.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status WorkspaceJobStatus `json:"status,omitempty"`
}

// WorkspaceJobList is a list of WorkspaceJobs.
//
// +kubebuilder:object:root=true
type WorkspaceJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkspaceJob `json:"items"`
}
