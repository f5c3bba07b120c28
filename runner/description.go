package runner

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// Description is one attempt at a run, as the operator describes it to a runner.
type Description struct {
	// JobID is the WorkspaceJob's UID, a UUID in lower case.
	JobID string
	// Name is the WorkspaceJob's name.
	Name string
	// Run is the run's number, from 1. A run (JobID and Run) takes effect once.
	Run int
	// Attempt is the attempt's number, from 1.
	Attempt   int
	Workspace string
	Queue     string
	// Handler names one of the registered handlers.
	Handler string
	// Args is a JSON object of at most contract.MaxArgs bytes. Empty means {}.
	Args json.RawMessage
	// Deadline is when the run's time runs out. Zero means never.
	Deadline time.Time
	// DatabaseURL is a PostgreSQL connection URL. It holds a password.
	DatabaseURL string
	// AllowSuperuser allows the role of DatabaseURL to be a superuser; see [Run].
	AllowSuperuser bool
	// Schema is the ledger's schema. Empty means ledger.DefaultSchema.
	Schema string
}

// describe reads a description from the environment of the runner contract. The
// time-out counts from started. All its errors are usage errors.
func describe(getenv func(string) string, started time.Time) (Description, error) {
	d := describeDatabase(getenv)
	d.JobID = strings.ToLower(getenv(contract.EnvJobID))
	d.Name = getenv(contract.EnvJobName)
	d.Queue = getenv(contract.EnvQueue)
	d.Handler = getenv(contract.EnvHandler)
	d.Args = json.RawMessage(getenv(contract.EnvArgs))
	var err error
	if d.Run, err = number(getenv, contract.EnvRun); err != nil {
		return d, err
	}
	if d.Attempt, err = number(getenv, contract.EnvAttempt); err != nil {
		return d, err
	}
	if text := getenv(contract.EnvTimeout); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout <= 0 {
			return d, usagef("%s is not a duration above 0, such as 1h30m", contract.EnvTimeout)
		}
		d.Deadline = started.Add(timeout)
	}
	return d, d.check()
}

// describeDatabase reads the part of the environment that all commands need.
func describeDatabase(getenv func(string) string) Description {
	return Description{
		Workspace:      getenv(contract.EnvWorkspace),
		DatabaseURL:    getenv(contract.EnvDatabaseURL),
		AllowSuperuser: getenv(contract.EnvAllowSuperuser) == "true",
		Schema:         getenv(contract.EnvLedgerSchema),
	}
}

func number(getenv func(string) string, name string) (int, error) {
	n, err := strconv.ParseInt(getenv(name), 10, 32)
	if err != nil || n < 1 {
		return 0, usagef("%s is not a whole number of at least 1", name)
	}
	return int(n), nil
}

// check refuses a description that the ledger can't store.
func (d Description) check() error {
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(d.JobID) {
		return usagef("%s is not a UUID", contract.EnvJobID)
	}
	for _, field := range []struct{ name, value string }{
		{contract.EnvJobName, d.Name},
		{contract.EnvWorkspace, d.Workspace},
		{contract.EnvQueue, d.Queue},
		{contract.EnvHandler, d.Handler},
	} {
		if field.value == "" {
			return usagef("%s is not set", field.name)
		}
	}
	if d.Run < 1 || d.Attempt < 1 {
		return usagef("a run and its attempts are numbered from 1")
	}
	return nil
}

func (d Description) schema() string {
	if d.Schema == "" {
		return ledger.DefaultSchema
	}
	return d.Schema
}

// args returns Args, or {} if there are none.
func (d Description) args() json.RawMessage {
	if len(strings.TrimSpace(string(d.Args))) == 0 {
		return json.RawMessage("{}")
	}
	return d.Args
}

func (d Description) claim() ledger.Claim {
	return ledger.Claim{
		JobID: d.JobID, Run: d.Run, Attempt: d.Attempt, Name: d.Name,
		Workspace: d.Workspace, Queue: d.Queue, Handler: d.Handler, Args: string(d.args()),
	}
}
