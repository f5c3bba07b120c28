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

// runRow is what a look sees of one run of the job.
type runRow struct {
	Run     int
	State   string
	Token   int64
	Attempt int
	Result  string
	LeaseMS int64
}

// step is what a claim does next: exactly one of done, wait and taking the lease.
type step struct {
	done   bool
	result string
	// wait is how long the lease in the way still lasts; 0: take it now.
	wait time.Duration
	// takeover: the lease that ran out was never given back, under newestToken.
	takeover    bool
	newestToken int64
}

// decide says what a claim of run number run does next, given what stands in its
// way: the run itself, newer runs, and runs that are leased.
func decide(run int, seen []runRow) (step, error) {
	next := step{}
	for _, row := range seen {
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

func (l *Ledger) look(ctx context.Context, db querier, claim Claim) ([]runRow, error) {
	rows, err := db.Query(ctx, l.queries.look, claim.JobID, claim.Run)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[runRow])
}
