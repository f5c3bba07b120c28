package v1alpha1

// Labels and annotations. Every object that the operator creates carries those of the first
// three labels that apply to it.
const (
	// LabelManagedBy is a label of Kubernetes' own; its value here is ManagedBy.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelWorkspace names the Workspace. A cluster admin sets it on a namespace to hand
	// that namespace over to the Workspace of this name.
	LabelWorkspace = Group + "/workspace"
	// AnnotationAdoptedBy is set on a namespace that a cluster admin hands over. Its value
	// is the name of that user, which an admission policy ensures.
	AnnotationAdoptedBy = Group + "/adopted-by"
	// AnnotationRunnerImage is set on a workspace's namespace. Its value is the image that
	// may run there: spec.runner.image of the Workspace. See config/policies.
	AnnotationRunnerImage = Group + "/runner-image"
	// AnnotationDatabase is set on a workspace's namespace. Its value is what runners there
	// get from spec.database: Secret, key, schema and allowSuperuser, with slashes between.
	AnnotationDatabase = Group + "/database"
	// AnnotationRunnerSecrets is set on a workspace's namespace. Its value is the Secrets of
	// spec.runner.secrets, with commas between.
	AnnotationRunnerSecrets = Group + "/runner-secrets"
	// AnnotationPullSecrets is set on a workspace's namespace. Its value is the Secrets of
	// spec.runner.imagePullSecrets, with commas between.
	AnnotationPullSecrets = Group + "/image-pull-secrets"
	// LabelJob names the WorkspaceJob on an attempt's Job and pod.
	LabelJob = Group + "/job"
	// LabelAttempt is the attempt's number on an attempt's Job and pod.
	LabelAttempt = Group + "/attempt"
	// AnnotationRun is the run's number on an attempt's Job and pod.
	AnnotationRun = Group + "/run"
	// AnnotationJobUID is the WorkspaceJob's UID on an attempt's pod.
	AnnotationJobUID = Group + "/job-uid"

	// LabelRecurringJob names the WorkspaceRecurringJob on its runs, their Jobs and
	// their pods.
	LabelRecurringJob = Group + "/recurring-job"
	// AnnotationScheduledAt is the time at which a scheduled run was due, in RFC 3339, on
	// its WorkspaceJob.
	AnnotationScheduledAt = Group + "/scheduled-at"
	// AnnotationConcurrencyKey is spec.concurrencyKey on an attempt's Job and pod.
	AnnotationConcurrencyKey = Group + "/concurrency-key"
	// AnnotationTemplate is the template, as JSON, on the Jobs that a recurring job's
	// schedule creates: the run does what the template said when it was due.
	AnnotationTemplate = Group + "/template"
	// AnnotationScheduleSince is set on a recurring job's CronJob and its Jobs. It is
	// the time from which the schedule is in effect: no earlier time was ever due.
	AnnotationScheduleSince = Group + "/schedule-since"
	// AnnotationRunningSince is set on a recurring job's CronJob. It is the time since
	// which the CronJob has not been suspended.
	AnnotationRunningSince = Group + "/running-since"

	// FinalizerRunners keeps a deleted Workspace until its runners have stopped.
	FinalizerRunners = Group + "/runners"

	// ManagedBy is the value of LabelManagedBy and the name of the operator's field manager.
	ManagedBy = "workspace-jobs"
	// RunnerContainer is the name of the container that runs the handler.
	RunnerContainer = "runner"
	// FenceContainer is the name of the init container that waits for the network plugin; see
	// [Network].
	FenceContainer = "wait-for-fence"
	// ReasonFenceMissing is the reason of an attempt whose pod was not fenced in time.
	ReasonFenceMissing = "FenceMissing"
	// RunnerServiceAccount is the ServiceAccount of all runner pods. It has no
	// permissions, and its token is not mounted.
	RunnerServiceAccount = "runner"
)

// QueueName returns the name of a workspace's queue: "workspace_<workspace>".
func QueueName(workspace string) string { return "workspace_" + workspace }

// Condition types. Ready, Reconciling and Stalled mean what kstatus says
// (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus).
// Reconciling and Stalled are present only while they are True.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
	// ConditionSucceeded of a WorkspaceJob is Unknown until its run has ended, then True
	// or False.
	ConditionSucceeded = "Succeeded"
	// ConditionDatabaseReady of a Workspace says whether its database has the schema that
	// the operator's ledger needs.
	ConditionDatabaseReady = "DatabaseReady"
	// ConditionLastRunSucceeded of a WorkspaceRecurringJob is Unknown until a run has
	// ended, then says whether the latest one succeeded.
	ConditionLastRunSucceeded = "LastRunSucceeded"
)

// Reasons of a WorkspaceJob's conditions and events.
const (
	// ReasonScheduled means that the job is due at a later time.
	ReasonScheduled = "Scheduled"
	// ReasonRetryScheduled means that an attempt failed and another one will follow.
	ReasonRetryScheduled = "RetryScheduled"
	// ReasonEnqueued means that the job is due and its pod has not started yet.
	ReasonEnqueued = "Enqueued"
	// ReasonQueued means that the job is due and every slot of its queue is in use.
	ReasonQueued = "Queued"
	// ReasonQueueSuspended means that the job is due and its workspace is suspended.
	ReasonQueueSuspended = "QueueSuspended"
	// ReasonConcurrencyKeyBusy means that the job is due and another job with its
	// concurrencyKey is processing.
	ReasonConcurrencyKeyBusy = "ConcurrencyKeyBusy"
	// ReasonEarlierRunActive means that the run is due and waits for an earlier run of its
	// recurring job (concurrencyPolicy Queue or Replace).
	ReasonEarlierRunActive = "EarlierRunActive"
	// ReasonSkipped means that the run did not start because an earlier run of its
	// recurring job had not finished (concurrencyPolicy Forbid).
	ReasonSkipped = "Skipped"
	// ReasonRunQueueFull means that the run did not start because too many runs of its
	// recurring job were waiting (concurrencyPolicy Queue).
	ReasonRunQueueFull = "RunQueueFull"
	// ReasonReplaced means that a newer run of its recurring job replaced this one
	// (concurrencyPolicy Replace).
	ReasonReplaced = "Replaced"
	// ReasonRecurringJobNotFound means that recurringJobRef names a recurring job that
	// does not exist.
	ReasonRecurringJobNotFound = "RecurringJobNotFound"
	// ReasonAwaitingParents means that some of the jobs in spec.after have not finished.
	ReasonAwaitingParents = "AwaitingParents"
	// ReasonParentMissing means that a job in spec.after does not exist (yet).
	ReasonParentMissing = "ParentMissing"
	// ReasonParentCycle means that the job waits, through other jobs, for itself.
	ReasonParentCycle = "ParentCycle"
	// ReasonParentEnded means that a job in spec.after ended in a state other than the
	// one that it requires.
	ReasonParentEnded = "ParentEnded"
	// ReasonPodPending means that the job is due and its pod can't start, for the reason
	// in the message.
	ReasonPodPending = "PodPending"
	// ReasonWorkspaceNotReady means that the job is due and its workspace is not ready to
	// run it.
	ReasonWorkspaceNotReady = "WorkspaceNotReady"
	// ReasonProcessing means that the handler is running.
	ReasonProcessing = "Processing"
	// ReasonCancelling means that the job was cancelled or replaced and its attempt is still
	// ending.
	ReasonCancelling = "Cancelling"
	// ReasonSucceeded means that the run took effect.
	ReasonSucceeded = "Succeeded"
	// ReasonCancelled means that spec.cancelled is set.
	ReasonCancelled = "Cancelled"
	// ReasonRetriesExhausted means that the last attempt that retry.limit allows failed, or
	// that no attempt number is left.
	ReasonRetriesExhausted = "RetriesExhausted"
	// ReasonInvalidArguments means that the image has no such handler, or that the
	// arguments don't fit it.
	ReasonInvalidArguments = "InvalidArguments"
	// ReasonPermanentFailure means that the handler reported an error that no retry can
	// fix.
	ReasonPermanentFailure = "PermanentFailure"
	// ReasonNotInWorkspace means that the namespace belongs to no workspace.
	ReasonNotInWorkspace = "NotInWorkspace"
	// ReasonNameTaken means that an object that the operator has to create already exists
	// and belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonJobRefused means that the API server refuses the attempt's Job.
	ReasonJobRefused = "JobRefused"
	// ReasonRequeued means that spec.requeueAt started another run. Events only.
	ReasonRequeued = "Requeued"
	// ReasonAttemptFailed means that an attempt ended without success. Events only.
	ReasonAttemptFailed = "AttemptFailed"
)

// Reasons of a WorkspaceRecurringJob's conditions and events, in addition to those above.
const (
	// ReasonScheduleActive means that the schedule is accepted and its CronJob exists.
	ReasonScheduleActive = "ScheduleActive"
	// ReasonSuspended means that spec.suspend is set: no run becomes due.
	ReasonSuspended = "Suspended"
	// ReasonInvalidSchedule means that spec.schedule is not a valid schedule. The last
	// valid one stays active.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonInvalidTimeZone means that spec.timeZone is not in the time zone database. The
	// last valid one stays active.
	ReasonInvalidTimeZone = "InvalidTimeZone"
	// ReasonCronJobRefused means that the API server refuses the CronJob.
	ReasonCronJobRefused = "CronJobRefused"
	// ReasonNoRunYet means that no run has ended yet.
	ReasonNoRunYet = "NoRunYet"
	// ReasonRunSucceeded means that the latest run succeeded.
	ReasonRunSucceeded = "RunSucceeded"
	// ReasonRunFailed means that the latest run failed.
	ReasonRunFailed = "RunFailed"
	// ReasonRunDeleted means that the latest run was cancelled, skipped or replaced.
	ReasonRunDeleted = "RunDeleted"
	// ReasonRunMissed means that a run was due and can no longer start. Events only.
	ReasonRunMissed = "RunMissed"
	// ReasonRunSkipped means that a run did not start because of the concurrencyPolicy.
	// Events only.
	ReasonRunSkipped = "RunSkipped"
)

// Reasons of a Workspace's conditions and events.
const (
	// ReasonReady means that jobs can run.
	ReasonReady = "Ready"
	// ReasonNamespaceTaken means that the namespace exists and is not labelled for this
	// Workspace.
	ReasonNamespaceTaken = "NamespaceTaken"
	// ReasonNamespaceTerminating means that the namespace is being deleted.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonInvalidSpec means that Kubernetes refuses an object that follows from the
	// spec, such as a NetworkPolicy with a malformed CIDR.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonReconcileError means that the API server answered with an error and the
	// operator keeps retrying.
	ReasonReconcileError = "ReconcileError"
	// ReasonQuotaPending means that Kubernetes has not counted the namespace's objects
	// yet, and refuses new jobs until it has.
	ReasonQuotaPending = "QuotaPending"
	// ReasonMigrating means that the ledger's migration is running.
	ReasonMigrating = "Migrating"
	// ReasonMigrationPending means that the migration's pod can't start.
	ReasonMigrationPending = "MigrationPending"
	// ReasonMigrationFailed means that the migration failed and will be retried.
	ReasonMigrationFailed = "MigrationFailed"
	// ReasonDatabaseRefused means that the migration failed permanently: it is not retried
	// until the spec or the database changes.
	ReasonDatabaseRefused = "DatabaseRefused"
	// ReasonDatabaseReady means that the database has the ledger's schema.
	ReasonDatabaseReady = "DatabaseReady"
)
