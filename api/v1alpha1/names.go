package v1alpha1

// Labels and annotations. Everything that the operator makes carries the first
// three labels that apply to it.
const (
	// LabelManagedBy is Kubernetes' own label; its value here is ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelWorkspace names the Workspace. A cluster admin sets it on a namespace
	// to hand that namespace over to the Workspace of this name.
	LabelWorkspace = Group + "/workspace"
	// AnnotationRunnerImage is, on a workspace's namespace, the image that may run
	// there: spec.runner.image of its Workspace. See config/policies.
	AnnotationRunnerImage = Group + "/runner-image"
	// LabelJob names the WorkspaceJob on an attempt's Job and pod.
	LabelJob = Group + "/job"
	// LabelAttempt is the attempt's number on an attempt's Job and pod.
	LabelAttempt = Group + "/attempt"
	// AnnotationRun is the run's number on an attempt's Job and pod.
	AnnotationRun = Group + "/run"
	// AnnotationJobUID is the WorkspaceJob's UID on an attempt's pod.
	AnnotationJobUID = Group + "/job-uid"

	// LabelRecurringJob names the WorkspaceRecurringJob on its runs, their Jobs and
	// pods.
	LabelRecurringJob = Group + "/recurring-job"
	// AnnotationScheduledAt is the time that a scheduled run was due, RFC 3339, on
	// its WorkspaceJob.
	AnnotationScheduledAt = Group + "/scheduled-at"
	// AnnotationConcurrencyKey is spec.concurrencyKey on an attempt's Job and pod.
	AnnotationConcurrencyKey = Group + "/concurrency-key"
	// AnnotationTemplate is the template, as JSON, on the Jobs that a recurring
	// job's schedule makes: the run does what the schedule said when it was due.
	AnnotationTemplate = Group + "/template"
	// AnnotationScheduleSince is, on a recurring job's CronJob and its Jobs, since
	// when the schedule is as it is: no time before that was ever due.
	AnnotationScheduleSince = Group + "/schedule-since"
	// AnnotationRunningSince is, on a recurring job's CronJob, since when it is not
	// suspended.
	AnnotationRunningSince = Group + "/running-since"

	// ManagedBy is the value of LabelManagedBy and the operator's field manager.
	ManagedBy = "workspace-jobs"
	// RunnerContainer is the name of the container that runs the handler.
	RunnerContainer = "runner"
	// RunnerServiceAccount is the ServiceAccount of all runner pods: it has no
	// rights and no mounted token.
	RunnerServiceAccount = "runner"
)

// QueueName is the queue of a workspace: "workspace_<workspace>".
func QueueName(workspace string) string { return "workspace_" + workspace }

// Condition types. Ready, Reconciling and Stalled mean what kstatus says
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus).
// Reconciling and Stalled are present only while they are True.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
	// ConditionSucceeded of a WorkspaceJob: Unknown until its run has ended, then
	// True or False.
	ConditionSucceeded = "Succeeded"
	// ConditionDatabaseReady of a Workspace: its ledger's schema is in place.
	ConditionDatabaseReady = "DatabaseReady"
	// ConditionLastRunSucceeded of a WorkspaceRecurringJob: Unknown until a run has
	// ended, then how the latest one did.
	ConditionLastRunSucceeded = "LastRunSucceeded"
)

// Reasons of a WorkspaceJob's conditions and events.
const (
	// ReasonScheduled: its time has not come.
	ReasonScheduled = "Scheduled"
	// ReasonRetryScheduled: an attempt failed and another one will follow.
	ReasonRetryScheduled = "RetryScheduled"
	// ReasonEnqueued: due; its pod has not started yet.
	ReasonEnqueued = "Enqueued"
	// ReasonQueued: due, and as many jobs as the workspace's concurrency allows are
	// processing.
	ReasonQueued = "Queued"
	// ReasonQueueSuspended: due, and the workspace is suspended.
	ReasonQueueSuspended = "QueueSuspended"
	// ReasonConcurrencyKeyBusy: due, and another job with its concurrencyKey is
	// processing.
	ReasonConcurrencyKeyBusy = "ConcurrencyKeyBusy"
	// ReasonEarlierRunActive: due, and waits for an earlier run of its recurring job
	// (concurrencyPolicy Queue or Replace).
	ReasonEarlierRunActive = "EarlierRunActive"
	// ReasonSkipped: not run, for an earlier run of its recurring job was not
	// finished (concurrencyPolicy Forbid).
	ReasonSkipped = "Skipped"
	// ReasonRunQueueFull: not run, for too many runs of its recurring job wait
	// (concurrencyPolicy Queue).
	ReasonRunQueueFull = "RunQueueFull"
	// ReasonReplaced: stopped or not run, for a newer run of its recurring job
	// takes its place (concurrencyPolicy Replace).
	ReasonReplaced = "Replaced"
	// ReasonRecurringJobNotFound: recurringJobRef names none that exists.
	ReasonRecurringJobNotFound = "RecurringJobNotFound"
	// ReasonAwaitingParents: jobs that it continues have not finished.
	ReasonAwaitingParents = "AwaitingParents"
	// ReasonParentMissing: a job that it continues does not exist (yet).
	ReasonParentMissing = "ParentMissing"
	// ReasonParentCycle: it continues, by way of others, itself.
	ReasonParentCycle = "ParentCycle"
	// ReasonParentEnded: a job that it continues has not ended as wanted.
	ReasonParentEnded = "ParentEnded"
	// ReasonPodPending: due, and its pod can't start for the reason in the
	// message.
	ReasonPodPending = "PodPending"
	// ReasonWorkspaceNotReady: due, and its workspace can't take it yet.
	ReasonWorkspaceNotReady = "WorkspaceNotReady"
	// ReasonProcessing: its handler is running.
	ReasonProcessing = "Processing"
	// ReasonCancelling: cancelled, and its pod is still stopping.
	ReasonCancelling = "Cancelling"
	// ReasonSucceeded: the run has taken effect.
	ReasonSucceeded = "Succeeded"
	// ReasonCancelled: spec.cancelled.
	ReasonCancelled = "Cancelled"
	// ReasonRetriesExhausted: the last attempt that retry.limit allows failed.
	ReasonRetriesExhausted = "RetriesExhausted"
	// ReasonInvalidArguments: no such handler, or arguments that don't fit it.
	ReasonInvalidArguments = "InvalidArguments"
	// ReasonPermanentFailure: the handler said that trying again is useless.
	ReasonPermanentFailure = "PermanentFailure"
	// ReasonNotInWorkspace: the namespace is no workspace's.
	ReasonNotInWorkspace = "NotInWorkspace"
	// ReasonNameTaken: an object that the operator needs to make exists already
	// and belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonJobRefused: the API server does not take the attempt's Job.
	ReasonJobRefused = "JobRefused"
	// ReasonRequeued: spec.requeueAt started another run. An event only.
	ReasonRequeued = "Requeued"
	// ReasonAttemptFailed: an attempt ended without success. An event only.
	ReasonAttemptFailed = "AttemptFailed"
)

// Reasons of a WorkspaceRecurringJob's conditions and events, beside those above.
const (
	// ReasonScheduleActive means that the schedule is accepted and its CronJob exists.
	ReasonScheduleActive = "ScheduleActive"
	// ReasonSuspended: spec.suspend; no run becomes due.
	ReasonSuspended = "Suspended"
	// ReasonInvalidSchedule: spec.schedule is none that Kubernetes takes. The last
	// good one goes on.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonInvalidTimeZone: spec.timeZone is not in the time zone database. The
	// last good one goes on.
	ReasonInvalidTimeZone = "InvalidTimeZone"
	// ReasonCronJobRefused: the API server does not take the CronJob.
	ReasonCronJobRefused = "CronJobRefused"
	// ReasonNoRunYet: no run has ended.
	ReasonNoRunYet = "NoRunYet"
	// ReasonRunSucceeded, ReasonRunFailed, ReasonRunDeleted: how the latest run
	// ended.
	ReasonRunSucceeded = "RunSucceeded"
	ReasonRunFailed    = "RunFailed"
	ReasonRunDeleted   = "RunDeleted"
	// ReasonRunMissed: a run was due and can't start any more. An event only.
	ReasonRunMissed = "RunMissed"
	// ReasonRunSkipped: a run was not started because of the overlap policy. An
	// event only.
	ReasonRunSkipped = "RunSkipped"
)

// Reasons of a Workspace's conditions and events.
const (
	// ReasonReady: jobs can run.
	ReasonReady = "Ready"
	// ReasonNamespaceTaken: the namespace exists and is not labelled for this
	// Workspace.
	ReasonNamespaceTaken = "NamespaceTaken"
	// ReasonNamespaceTerminating: the namespace is being deleted.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonInvalidSpec: Kubernetes refuses an object that the spec leads to, such
	// as a NetworkPolicy with a bad CIDR.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonReconcileError: the API server answered with an error; the operator
	// keeps trying.
	ReasonReconcileError = "ReconcileError"
	// ReasonQuotaPending: Kubernetes has not counted the namespace's objects yet,
	// and refuses new jobs until it has.
	ReasonQuotaPending = "QuotaPending"
	// ReasonMigrating: the ledger's migration is running.
	ReasonMigrating = "Migrating"
	// ReasonMigrationPending: the migration's pod can't start.
	ReasonMigrationPending = "MigrationPending"
	// ReasonMigrationFailed: the migration failed; it is tried again.
	ReasonMigrationFailed = "MigrationFailed"
	// ReasonDatabaseRefused: the migration failed for good, until the spec or the
	// database is changed.
	ReasonDatabaseRefused = "DatabaseRefused"
	// ReasonDatabaseReady: the ledger's schema is in place.
	ReasonDatabaseReady = "DatabaseReady"
)
