package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner"
)

const (
	defaultBatch = 5000
	largestBatch = 100_000
	// progressEvery is the least time between two lines of progress.
	progressEvery = 2 * time.Second
)

// CleanupArgs are the arguments of the handler "data-cleanup".
type CleanupArgs struct {
	// Table is "schema.table", or "table" as the search path finds it.
	Table string `json:"table"`
	// Column is of type timestamp, timestamptz or date; the former and the latter
	// are read as UTC.
	Column string `json:"column"`
	// OlderThan is an age such as 365d or 12mo: rows whose column is before the
	// first attempt's start less this age are deleted. Rows with NULL stay.
	OlderThan string `json:"olderThan"`
	// BatchSize is how many rows one transaction deletes at most, 1 to 100,000.
	// Default: 5,000.
	BatchSize int `json:"batchSize"`
	// MaxRows is how many rows the run deletes at most; 0 (default): all.
	MaxRows int64 `json:"maxRows"`
	// DryRun counts the rows and deletes none.
	DryRun bool `json:"dryRun"`
}

// Validate fills in defaults.
func (a *CleanupArgs) Validate() error {
	if a.BatchSize == 0 {
		a.BatchSize = defaultBatch
	}
	switch {
	case a.Table == "":
		return errors.New("table is missing")
	case a.Column == "":
		return errors.New("column is missing")
	case a.BatchSize < 1 || a.BatchSize > largestBatch:
		return fmt.Errorf("batchSize is %d; it takes 1 to %d", a.BatchSize, largestBatch)
	case a.MaxRows < 0:
		return fmt.Errorf("maxRows is %d; it takes 0 (all) or more", a.MaxRows)
	}
	_, err := parseAge(a.OlderThan)
	if err != nil {
		return fmt.Errorf("olderThan: %w", err)
	}
	return nil
}

// cleanupResult is the result of the handler "data-cleanup".
type cleanupResult struct {
	Table  string    `json:"table"`
	Cutoff time.Time `json:"cutoff"`
	// Rows deleted, or to be deleted in a dry run.
	Rows    int64 `json:"rows"`
	Batches int   `json:"batches,omitempty"`
	DryRun  bool  `json:"dryRun,omitempty"`
	// More: maxRows was reached; older rows may be left.
	More bool `json:"more,omitempty"`
}

// cleanupProgress is the checkpoint of the handler "data-cleanup".
type cleanupProgress struct {
	Rows    int64 `json:"rows"`
	Batches int   `json:"batches"`
	// Leaf is the table or partition at work, After where in it the next batch
	// begins.
	Leaf  string `json:"leaf"`
	After string `json:"after"`
}

// Cleanup is the handler "data-cleanup": it deletes old rows in batches.
func Cleanup() runner.Handler { return runner.Handle("data-cleanup", runCleanup) }

func runCleanup(ctx context.Context, job *runner.Job[CleanupArgs]) error {
	target, err := findTable(ctx, job.Pool, job.Args.Table)
	if err != nil {
		return err
	}
	if err := target.mustHave(job.Args.Column); err != nil {
		return err
	}
	kind := target.columns[job.Args.Column]
	compared, ok := cutoffAs(kind)
	if !ok {
		return runner.Permanent(fmt.Errorf("column %q of table %q is of type %s; data-cleanup takes timestamp, timestamptz or date", job.Args.Column, target, kind))
	}
	cutoff, err := cutoffOf(ctx, job)
	if err != nil {
		return err
	}
	c := &cleaner{job: job, target: target, cutoff: cutoff, compared: compared, kind: kind}
	if job.Args.DryRun {
		return c.count(ctx)
	}
	return c.clean(ctx)
}

// cutoffAs is the cut-off, parameter $1, as a value of the column's type.
func cutoffAs(columnType string) (string, bool) {
	switch columnType {
	case "timestamp with time zone":
		return "$1::timestamptz", true
	case "timestamp without time zone":
		return "($1::timestamptz AT TIME ZONE 'UTC')", true
	case "date":
		return "($1::timestamptz AT TIME ZONE 'UTC')::date", true
	default:
		return "", false
	}
}

// cutoffOf counts from the run's first attempt: a retry deletes no more than the
// first attempt would have.
func cutoffOf(ctx context.Context, job *runner.Job[CleanupArgs]) (time.Time, error) {
	older, err := parseAge(job.Args.OlderThan)
	if err != nil {
		return time.Time{}, err
	}
	text, err := statement("cutoff")
	if err != nil {
		return time.Time{}, err
	}
	var cutoff time.Time
	err = job.Pool.QueryRow(ctx, text, job.StartedAt, older.months, older.days, older.seconds).Scan(&cutoff)
	if err != nil {
		return cutoff, explain(err)
	}
	return cutoff.UTC(), nil
}

// cleaner is one attempt at a cleanup.
type cleaner struct {
	job    *runner.Job[CleanupArgs]
	target table
	cutoff time.Time
	// compared is the cut-off in SQL, kind the column's type.
	compared, kind string
	done           cleanupProgress
	logged         time.Time
}

func (c *cleaner) count(ctx context.Context) error {
	text, err := statement("count_older", "table", c.target.sql(), "column", c.column(), "cutoff", c.compared)
	if err != nil {
		return err
	}
	result := cleanupResult{Table: c.target.String(), Cutoff: c.cutoff, DryRun: true}
	if err := c.job.Pool.QueryRow(ctx, text, c.cutoff).Scan(&result.Rows); err != nil {
		return explain(err)
	}
	return c.job.SetResult(result)
}

func (c *cleaner) clean(ctx context.Context) error {
	if _, err := c.job.Checkpoint(&c.done); err != nil {
		return err
	}
	leaves, err := c.leaves(ctx)
	if err != nil {
		return err
	}
	c.job.Logger.Info("cleanup", "table", c.target.String(), "column", c.job.Args.Column, "cutoff", c.cutoff, "alreadyDeleted", c.done.Rows)
	for _, at := range leaves {
		if at.String() < c.done.Leaf {
			continue
		}
		if at.String() != c.done.Leaf {
			c.done.Leaf, c.done.After = at.String(), ""
		}
		if err := c.cleanLeaf(ctx, at); err != nil {
			return err
		}
	}
	c.job.Logger.Info("cleanup done", "rows", c.done.Rows, "batches", c.done.Batches)
	return c.job.SetResult(cleanupResult{
		Table: c.target.String(), Cutoff: c.cutoff, Rows: c.done.Rows, Batches: c.done.Batches, More: c.room() == 0,
	})
}

func (c *cleaner) column() string { return pgx.Identifier{c.job.Args.Column}.Sanitize() }

// room is how many rows the next batch may delete.
func (c *cleaner) room() int64 {
	room := int64(c.job.Args.BatchSize)
	if c.job.Args.MaxRows > 0 {
		room = min(room, c.job.Args.MaxRows-c.done.Rows)
	}
	return room
}

// explainDelete adds to explain what is permanent about deletions.
func explainDelete(err error) error {
	const foreignKeyViolation = "23503"
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == foreignKeyViolation {
		return runner.Permanent(explain(err))
	}
	return explain(err)
}
