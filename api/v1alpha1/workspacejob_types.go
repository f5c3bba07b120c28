package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobTemplate says what to run and how often to try: the fields that a WorkspaceJob
// and the runs of a WorkspaceRecurringJob share.
type JobTemplate struct {
	// Handler names what to run: one of the handlers in the workspace's runner
	// image.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
	Handler string `json:"handler,omitempty"`

	// Args are the handler's arguments: a JSON object of at most 64 KiB. The
	// handler refuses fields that it doesn't know.
	//
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Args *apiextensionsv1.JSON `json:"args,omitempty"`

	// Priority among the jobs that wait in the workspace's queue: higher first,
	// and first come first served among equals. Unset: 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=1000
	Priority *int32 `json:"priority,omitempty"`

	// ConcurrencyKey: of the workspace's jobs with the same key at most one is
	// processing at a time; the others wait. Between two attempts of a job another
	// one with its key may run.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ConcurrencyKey string `json:"concurrencyKey,omitempty"`

	// Retry says how often and when a failed attempt is tried again.
	//
	// +optional
	Retry *RetryPolicy `json:"retry,omitempty"`

	// Timeout of each attempt, from the start of its process. Unset: no limit.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.hms]+[hms]$') || duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="must be between 1s and 8760h (a year)"
	Timeout *Duration `json:"timeout,omitempty"`

	// Resources of the attempt's pod, instead of the workspace's.
	//
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// TTLAfterFinished: the job is deleted this long after it finished. Unset: it
	// stays, so that a GitOps pipeline doesn't run it again by recreating it.
	//
	// +optional
	TTLAfterFinished *Duration `json:"ttlAfterFinished,omitempty"`
}

// WorkspaceJobSpec says what to run, when, and how often to try. What defines
// the run can't change once the job exists; priority, cancelled, requeueAt and
// ttlAfterFinished can. Durations are compared by what they mean: Go programs write 10m
// back as 10m0s.
//
// +kubebuilder:validation:XValidation:rule="has(self.handler) != has(self.recurringJobRef)",message="set handler, or recurringJobRef to run a recurring job's template now: one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.recurringJobRef) || !(has(self.args) || has(self.concurrencyKey) || has(self.retry) || has(self.timeout) || has(self.resources))",message="a job with recurringJobRef takes args, concurrencyKey, retry, timeout and resources from the recurring job's template: remove them here, or set handler instead of recurringJobRef"
// +kubebuilder:validation:XValidation:rule="!(has(self.delay) && has(self.runAt))",message="delay and runAt exclude each other: set one of them, or neither to run now"
// +kubebuilder:validation:XValidation:rule="has(self.handler) == has(oldSelf.handler) && (!has(self.handler) || self.handler == oldSelf.handler)",message="handler can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.args) == has(oldSelf.args) && (!has(self.args) || self.args == oldSelf.args)",message="args can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.concurrencyKey) == has(oldSelf.concurrencyKey) && (!has(self.concurrencyKey) || self.concurrencyKey == oldSelf.concurrencyKey)",message="concurrencyKey can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.delay) == has(oldSelf.delay) && (!has(self.delay) || duration(self.delay) == duration(oldSelf.delay)) && has(self.runAt) == has(oldSelf.runAt) && (!has(self.runAt) || self.runAt == oldSelf.runAt)",message="delay and runAt can't change once the job exists: to run it at another time set cancelled and create another WorkspaceJob; to run it again set requeueAt"
// +kubebuilder:validation:XValidation:rule="(has(self.after) ? self.after : []) == (has(oldSelf.after) ? oldSelf.after : [])",message="after can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.recurringJobRef) == has(oldSelf.recurringJobRef) && (!has(self.recurringJobRef) || self.recurringJobRef == oldSelf.recurringJobRef)",message="recurringJobRef can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.retry) == has(oldSelf.retry) && (!has(self.retry) || self.retry.limit == oldSelf.retry.limit && self.retry.factor == oldSelf.retry.factor && duration(self.retry.minDelay) == duration(oldSelf.retry.minDelay) && duration(self.retry.maxDelay) == duration(oldSelf.retry.maxDelay))",message="retry can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.timeout) == has(oldSelf.timeout) && (!has(self.timeout) || duration(self.timeout) == duration(oldSelf.timeout))",message="timeout can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources) && (!has(self.resources) || self.resources == oldSelf.resources)",message="resources can't change once the job exists: create another WorkspaceJob, or delete this one and create it anew"
type WorkspaceJobSpec struct {
	JobTemplate `json:",inline"`

	// RecurringJobRef: run this recurring job's template now, as it is when the
	// operator first sees this job. Its overlap policy holds, its schedule does not
	// move. Instead of handler.
	//
	// +optional
	RecurringJobRef *RecurringJobRef `json:"recurringJobRef,omitempty"`

	// Delay: run this long after the job was created or, with after, after
	// its last parent has finished. Excludes runAt.
	//
	// +optional
	Delay *Duration `json:"delay,omitempty"`

	// RunAt: run at this time, at once if it has passed. Excludes delay.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	RunAt *metav1.Time `json:"runAt,omitempty"`

	// After: run once these jobs of the same namespace have finished as wanted,
	// all of them. One that can't end as wanted any more makes this job Deleted.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	After []Parent `json:"after,omitempty"`

	// Cancelled: the job must not run (any more). A running attempt is stopped
	// and its transaction rolled back. A finished job stays as it is.
	//
	// +optional
	Cancelled bool `json:"cancelled,omitempty"`

	// RequeueAt: a job that finished before this time runs again at this time, as
	// a new run with attempts of its own. It is a level, not a button: setting it
	// twice to the same time runs the job once.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=date-time
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	RequeueAt *metav1.Time `json:"requeueAt,omitempty"`
}

// RecurringJobRef names a WorkspaceRecurringJob of the same namespace.
type RecurringJobRef struct {
	// Name of the WorkspaceRecurringJob.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=46
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`
}

// ParentOutcome is how a parent must end for its continuation to run.
//
// +kubebuilder:validation:Enum=Succeeded;Failed;Deleted;Finished
type ParentOutcome string

// Outcomes of a parent; the first three are the final states.
const (
	AfterSucceeded ParentOutcome = "Succeeded"
	AfterFailed    ParentOutcome = "Failed"
	AfterDeleted   ParentOutcome = "Deleted"
	// AfterFinished: any of them.
	AfterFinished ParentOutcome = "Finished"
)

// Parent is a job that a continuation waits for.
type Parent struct {
	// Name of a WorkspaceJob of the same namespace. It may be created later than
	// its continuation, within the operator's limit for missing parents.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=58
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Name string `json:"name"`

	// When: how the parent must end: Succeeded, Failed, Deleted, or Finished for any
	// of them.
	//
	// +optional
	// +kubebuilder:default=Succeeded
	When ParentOutcome `json:"when,omitempty"`
}

// RetryPolicy: after the n-th failed attempt of a run the next one starts
// minDelay·factor^(n-1) later, at most maxDelay.
//
// +kubebuilder:validation:XValidation:rule="duration(self.minDelay) <= duration(self.maxDelay)",message="retry.minDelay must not be longer than retry.maxDelay"
type RetryPolicy struct {
	// Limit: how many times a failed attempt is tried again; 0: never. Hangfire's
	// AutomaticRetry has the same default.
	//
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Limit *int32 `json:"limit,omitempty"`

	// MinDelay before the first retry.
	//
	// +optional
	// +kubebuilder:default="15s"
	MinDelay *Duration `json:"minDelay,omitempty"`

	// MaxDelay before any retry.
	//
	// +optional
	// +kubebuilder:default="2h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0-9.hms]+[hms]$') || duration(self) <= duration('8760h')",message="must be at most 8760h (a year)"
	MaxDelay *Duration `json:"maxDelay,omitempty"`

	// Factor by which the delay grows.
	//
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Factor *int32 `json:"factor,omitempty"`
}

// Resources of a runner's container: cpu, memory and ephemeral-storage.
//
// The rules call quantity() only where no minus can be: it works for minutes on
// "1e-9999999999", in the API server as in the operator.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || string(self.requests[k]).contains('-') || string(self.limits[k]).contains('-') || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",message="a request must not be larger than its limit"
type Resources struct {
	// Requests: what the container is sure to get.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=3
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",message="only cpu, memory and ephemeral-storage can be set"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(string(self[k])) <= 20 && !string(self[k]).matches('[-eE]'))",message="each must be a quantity such as 500m or 256Mi, without a sign or an exponent, at most 20 characters long"
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Limits: what the container may not exceed.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=3
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",message="only cpu, memory and ephemeral-storage can be set"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(string(self[k])) <= 20 && !string(self[k]).matches('[-eE]'))",message="each must be a quantity such as 500m or 256Mi, without a sign or an exponent, at most 20 characters long"
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// WorkspaceJob is one background job: a handler and its arguments, run once in
// effect against the database of the workspace that the namespace belongs to.
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

	// Spec says what to run.
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
