package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a run in the ledger, named as Hangfire names them.
const (
	stateProcessing = "Processing"
	stateScheduled  = "Scheduled"
	stateSucceeded  = "Succeeded"
	stateFailed     = "Failed"
)

// runRow is one run of the job in the ledger.
type runRow struct {
	Run     int
	State   string
	Token   int64
	Attempt int
	Result  string
	LeaseMS int64
}

// step is what a claim does next: it is done, waits, or acquires the lease.
type step struct {
	// done says that the run has succeeded, with result.
	done   bool
	result string
	// wait is how long the lease of another runner still lasts. If it is 0, the claim
	// acquires the lease now.
	wait time.Duration
	// takeover says that another runner never gave its lease back. newestToken is the
	// newest token of the run.
	takeover    bool
	newestToken int64
}

// decide returns what a claim of a run does next, given the rows of the run itself, of
// newer runs of the job and of runs that are leased.
func decide(run int, rows []runRow) (step, error) {
	next := step{}
	for _, row := range rows {
		if row.Run == run && row.State == stateSucceeded {
			return step{done: true, result: row.Result}, nil
		}
		if row.Run > run {
			return step{}, &SupersededError{Newer: row.Run}
		}
		if row.Run == run {
			next.newestToken = row.Token
		}
		if row.State != stateProcessing {
			continue
		}
		next.wait = max(next.wait, time.Duration(row.LeaseMS)*time.Millisecond)
		next.takeover = true
	}
	return next, nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// listRuns returns what decide needs to know.
func (l *Ledger) listRuns(ctx context.Context, db querier, claim Claim) ([]runRow, error) {
	rows, err := db.Query(ctx, l.queries.listRuns, claim.JobID, claim.Run)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[runRow])
}
