// Package contract is what the operator and a runner image agree on: how a run
// is described to the process, and how the process answers. It is all that the
// controllers import from runner/. docs/runner-contract.md describes the same
// contract for runners in other languages.
//
// The operator starts the image's entrypoint with one argument, [CommandRun] or
// [CommandMigrate], and the environment below. The process answers with its exit
// code and with a [Message] in [TerminationMessagePath].
package contract

import "time"

// Commands: the one argument that the image's entrypoint is given.
const (
	// CommandRun runs the job that the environment describes.
	CommandRun = "run"
	// CommandMigrate brings the ledger's schema up to date; its result is a
	// [MigrationResult].
	CommandMigrate = "migrate"
)

// Environment. CommandMigrate gets EnvWorkspace, EnvDatabaseURL,
// EnvAllowSuperuser and EnvLedgerSchema; CommandRun gets all of them but
// EnvMessagePath.
const (
	// EnvDatabaseURL is a PostgreSQL connection URL. It holds a password: it is
	// never printed.
	EnvDatabaseURL = "DATABASE_URL"
	// EnvAllowSuperuser is "true" if the role of EnvDatabaseURL may be a superuser.
	// If it is "false" or absent, the process refuses such a role with [ExitUsage].
	EnvAllowSuperuser = "DATABASE_ALLOW_SUPERUSER"
	// EnvLedgerSchema is the ledger's schema in that database.
	EnvLedgerSchema = "LEDGER_SCHEMA"
	// EnvWorkspace is the Workspace's name.
	EnvWorkspace = "JOB_WORKSPACE"
	// EnvQueue is "workspace_<workspace>".
	EnvQueue = "JOB_QUEUE"
	// EnvJobID is the UID of the WorkspaceJob: the same for all its runs and
	// attempts, and never used for another job.
	EnvJobID = "JOB_ID"
	// EnvJobName is the WorkspaceJob's name.
	EnvJobName = "JOB_NAME"
	// EnvRun is the run's number: 1, and one more for each requeue. A run
	// (EnvJobID and EnvRun) takes effect once.
	EnvRun = "JOB_RUN"
	// EnvAttempt is the attempt's number. It starts at 1 and keeps counting over
	// all the job's runs, so no number is used twice.
	EnvAttempt = "JOB_ATTEMPT"
	// EnvHandler names the handler to run.
	EnvHandler = "JOB_HANDLER"
	// EnvArgs is the handler's arguments, a JSON object of at most [MaxArgs]
	// bytes.
	EnvArgs = "JOB_ARGS"
	// EnvTimeout is how long the attempt may take from the start of the process, as
	// a Go duration such as "1h30m0s". If it is empty or absent, there is no limit.
	// The operator has the pod killed [TimeoutGrace] later.
	EnvTimeout = "JOB_TIMEOUT"
	// EnvMessagePath is where to write the Message instead of
	// [TerminationMessagePath], for running outside Kubernetes. The operator does
	// not set it.
	EnvMessagePath = "JOB_MESSAGE_PATH"
)

// Exit codes. Any other code is a failure that is retried.
const (
	// ExitDone says that the run has taken effect, in this or an earlier attempt.
	ExitDone = 0
	// ExitFailed says that the attempt failed and that another may succeed.
	ExitFailed = 1
	// ExitUsage says that there is no such handler, that the arguments don't fit it,
	// or that the database URL can't be used. Never retried. (EX_USAGE of
	// sysexits.h.)
	ExitUsage = 64
	// ExitPermanent says that the handler reported a permanent failure. Never
	// retried. (EX_DATAERR of sysexits.h.)
	ExitPermanent = 65
	// ExitLater asks for another attempt after Message.RetryAfter, or after the
	// retry policy's delay if there is none. It counts as an attempt. (EX_TEMPFAIL
	// of sysexits.h.)
	ExitLater = 75
	// ExitTimeout says that EnvTimeout ran out. Retried. (As timeout(1) does.)
	ExitTimeout = 124
	// ExitInterrupted says that SIGTERM arrived (a cancelled job, a drained node)
	// and that the transaction was rolled back. Retried, unless the job was
	// cancelled. (128 + SIGTERM, as a shell reports it.)
	ExitInterrupted = 143
)

const (
	// MaxArgs is the largest EnvArgs, in bytes.
	MaxArgs = 64 << 10
	// MaxMessage is the largest encoded Message, in bytes: what Kubernetes keeps
	// of a termination message.
	MaxMessage = 4096
	// MaxResult is the largest Message.Result, in bytes: it leaves room for the
	// JSON around it.
	MaxResult = MaxMessage - 96
	// MaxWarning is how much of MigrationResult.Warning is shown, in bytes.
	MaxWarning = 1024
	// TerminationMessagePath is where the process writes its Message.
	TerminationMessagePath = "/dev/termination-log"
	// SecretsPath is where the Workspace's extra Secrets are mounted: a file at
	// SecretsPath/<secret>/<key>.
	SecretsPath = "/var/run/workspace-jobs/secrets"
	// TimeoutGrace is how much longer than EnvTimeout the pod may live, so that
	// the runner itself can roll back and report the time-out.
	TimeoutGrace = 30 * time.Second
)

// MigrationResult is Message.Result of CommandMigrate.
type MigrationResult struct {
	// SchemaVersion is the version of the newest migration that was applied.
	SchemaVersion int64 `json:"schemaVersion"`
	// Warning describes, for people and without secrets, what is wrong with a
	// database that works but should be set up differently. At most [MaxWarning]
	// bytes are shown.
	Warning string `json:"warning,omitempty"`
}
