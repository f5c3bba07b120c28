package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/openradius/workspace-jobs/runner"
)

const (
	// oneTransaction makes all statements take effect, or none.
	oneTransaction = "one"
	// eachTransaction commits each statement by itself.
	eachTransaction = "each"
	// listedStatements is how many statements' row counts the result lists.
	listedStatements = 200
)

// SQLArgs are the arguments of the handler "sql".
type SQLArgs struct {
	// Statements are run in this order. At least one, each a single SQL statement.
	Statements []string `json:"statements"`
	// Transaction is "one" (default), for all statements in one transaction, or "each",
	// for one transaction each. Then a retry continues after the last that committed.
	Transaction string `json:"transaction"`
}

// Validate fills in defaults and refuses statements that would end the runner's
// transaction.
func (a *SQLArgs) Validate() error {
	if a.Transaction == "" {
		a.Transaction = oneTransaction
	}
	if a.Transaction != oneTransaction && a.Transaction != eachTransaction {
		return fmt.Errorf("transaction is %q; it must be %q or %q", a.Transaction, oneTransaction, eachTransaction)
	}
	if len(a.Statements) == 0 {
		return errors.New("statements is empty; it needs at least one SQL statement")
	}
	for i, statement := range a.Statements {
		switch word := firstWord(statement); {
		case word == "":
			return fmt.Errorf("statement %d is empty", i+1)
		case slices.Contains(transactionWords(), word):
			return fmt.Errorf("statement %d begins with %s: only the runner begins and ends transactions; see the argument \"transaction\"", i+1, word)
		}
	}
	return nil
}

// transactionWords returns the first words of statements that begin, end or divide
// transactions.
func transactionWords() []string {
	return []string{
		"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE",
	}
}

// sqlResult is the result of the handler "sql".
type sqlResult struct {
	// Statements is the number of statements that have taken effect, and Rows how many
	// rows they changed or read.
	Statements int   `json:"statements"`
	Rows       int64 `json:"rows"`
	// Each has each statement's rows, for up to listedStatements statements.
	Each []int64 `json:"each,omitempty"`
}

func (r *sqlResult) add(rows int64) {
	r.Statements++
	r.Rows += rows
	if r.Each = append(r.Each, rows); len(r.Each) > listedStatements {
		r.Each = r.Each[:listedStatements]
	}
}

// SQL returns the handler "sql", which runs SQL statements.
func SQL() runner.Handler { return runner.Handle("sql", runSQL) }

func runSQL(ctx context.Context, job *runner.Job[SQLArgs]) error {
	// The checkpoint is the result so far. It is saved together with the statements that
	// it counts, so these are never run again.
	var done sqlResult
	if _, err := job.Checkpoint(&done); err != nil {
		return err
	}
	for done.Statements < len(job.Args.Statements) {
		upTo := len(job.Args.Statements)
		if job.Args.Transaction == eachTransaction {
			upTo = done.Statements + 1
		}
		next := done
		next.Each = slices.Clone(done.Each)
		err := job.Tx(ctx, func(tx *runner.Tx) error {
			for _, statement := range job.Args.Statements[done.Statements:upTo] {
				rows, err := execute(ctx, tx, statement)
				if err != nil {
					return fmt.Errorf("statement %d: %w", next.Statements+1, explain(err))
				}
				next.add(rows)
				job.Logger.Info("statement done", "statement", next.Statements, "of", len(job.Args.Statements), "rows", rows)
			}
			if upTo == len(job.Args.Statements) {
				return tx.Complete(next)
			}
			return tx.Checkpoint(next)
		})
		if err != nil {
			return err
		}
		done = next
	}
	return job.SetResult(done)
}

// execute runs one statement and counts its rows as they arrive, without keeping them.
// It uses the extended protocol which, unlike the simple one, refuses a second statement
// after a semicolon.
func execute(ctx context.Context, tx *runner.Tx, statement string) (int64, error) {
	reader := tx.Conn().PgConn().ExecParams(ctx, statement, nil, nil, nil, nil)
	for reader.NextRow() {
		continue
	}
	tag, err := reader.Close()
	if err != nil {
		return 0, err
	}
	if status := tx.Conn().PgConn().TxStatus(); status != 'T' {
		return 0, runner.Permanent(errors.New("it ended the runner's transaction"))
	}
	return tag.RowsAffected(), nil
}
