package runner_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

// CloseArgs are the arguments of "close-sessions": {"idle": "2h"}.
type CloseArgs struct {
	Idle string `json:"idle"`

	idle time.Duration
}

// Validate refuses arguments before anything runs.
func (a *CloseArgs) Validate() (err error) {
	if a.idle, err = time.ParseDuration(a.Idle); err != nil {
		return fmt.Errorf("idle must be a duration such as 2h, not %q", a.Idle)
	}
	return nil
}

// Example is a runner image: a program that registers its handlers.
func Example() {
	closeSessions := func(ctx context.Context, tx pgx.Tx, job *runner.Job[CloseArgs]) error {
		tag, err := tx.Exec(ctx,
			`UPDATE radacct SET acctstoptime = $1, acctterminatecause = 'Lost-Service'
			 WHERE acctstoptime IS NULL AND acctupdatetime < $1`, job.StartedAt.Add(-job.Args.idle))
		if err != nil {
			return err
		}
		return job.SetResult(map[string]int64{"closed": tag.RowsAffected()})
	}
	runner.Main(runner.HandleTx("close-sessions", closeSessions))
}

// ExampleHandle is a long handler that works in batches. Each commits together with the
// place where the next one begins.
func ExampleHandle() {
	type args struct{}
	anonymise := func(ctx context.Context, job *runner.Job[args]) error {
		var last int64
		if _, err := job.Checkpoint(&last); err != nil {
			return err
		}
		for done := false; !done; {
			err := job.Tx(ctx, func(tx *runner.Tx) error {
				err := tx.QueryRow(ctx,
					`WITH batch AS (SELECT id FROM customers WHERE id > $1 ORDER BY id LIMIT 1000),
					 updated AS (UPDATE customers SET name = md5(name) WHERE id IN (SELECT id FROM batch))
					 SELECT max(id) FROM batch HAVING count(*) > 0`, last).Scan(&last)
				if errors.Is(err, pgx.ErrNoRows) {
					done = true
					return nil
				}
				if err != nil {
					return err
				}
				return tx.Checkpoint(last)
			})
			if err != nil {
				return err
			}
			job.Logger.Info("anonymised", "upTo", last)
		}
		return nil
	}
	runner.Main(runner.Handle("anonymise", anonymise))
}

// ExamplePermanent shows how errors say whether and when to try again.
func ExamplePermanent() {
	type args struct{}
	handler := func(context.Context, *runner.Job[args]) error {
		switch err := charge(); {
		case errors.Is(err, errNoCustomer):
			return runner.Permanent(err)
		case errors.Is(err, errBusy):
			return runner.RetryAfter(err, 10*time.Minute)
		default:
			return err
		}
	}
	runner.Main(runner.Handle("charge", handler))
}

var (
	errNoCustomer = errors.New("no such customer")
	errBusy       = errors.New("the bank is busy")
)

func charge() error { return errBusy }
