// Package handlers has the handlers of the stock image: sql, data-cleanup, report and
// external-sync. docs/handlers.md is their documentation for users.
package handlers

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// Stock returns the handlers of the stock image.
func Stock() []runner.Handler {
	return []runner.Handler{
		SQL(),
		Cleanup(),
		Report(),
		Sync(contract.SecretsPath),
	}
}

// explain adds detail to an error of the database, and makes it permanent if a retry
// can only fail again: a statement or a name is wrong, or something is not allowed.
// Everything else (conflicts, connections, data that may change) is worth a retry.
func explain(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return err
	}
	text := answer.Message
	if answer.Detail != "" {
		text += " (" + answer.Detail + ")"
	}
	err = &databaseError{text: fmt.Sprintf("%s [%s]", text, answer.Code), err: err}
	const (
		syntaxOrAccess    = "42"
		notSupported      = "0A"
		activeTransaction = "25001" // such as VACUUM in a transaction
		readOnly          = "25006" // such as DELETE in a report's query
		notUTF8           = "22021"
	)
	switch class := answer.Code[:min(2, len(answer.Code))]; {
	case class == syntaxOrAccess, class == notSupported, answer.Code == activeTransaction,
		answer.Code == readOnly, answer.Code == notUTF8:
		return runner.Permanent(err)
	default:
		return err
	}
}

// databaseError is an error of the database in one line.
type databaseError struct {
	text string
	err  error
}

func (e *databaseError) Error() string { return e.text }
func (e *databaseError) Unwrap() error { return e.err }
