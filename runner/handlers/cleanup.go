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
	// progressEvery is the minimum time between two log lines about progress.
	progressEvery = 2 * time.Second
)

// CleanupArgs are the arguments of the handler "data-cleanup".
type CleanupArgs struct {
	// Table is "schema.table", or "table" as the search path finds it.
	Table string `json:"table"`
	// Column is a column of type timestamptz, timestamp or date. The latter two are
	// read as UTC.
	Column string `json:"column"`
	// OlderThan is an age such as 365d or 12mo. Rows are deleted that are older than
	// that at the start of the run's first attempt. Rows with NULL stay.
	OlderThan string `json:"olderThan"`
	// BatchSize is the maximum number of rows that one transaction deletes, 1 to
	// 100,000. Default: 5,000.
	BatchSize int `json:"batchSize"`
	// MaxRows is the maximum number of rows that the run deletes. 0 (default) means no
	// limit.
	MaxRows int64 `json:"maxRows"`
	// DryRun counts the rows and deletes none.
	DryRun bool `json:"dryRun"`
}

// Validate fills in defaults and checks the arguments.
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
		return fmt.Errorf("batchSize is %d; it must be from 1 to %d", a.BatchSize, largestBatch)
	case a.MaxRows < 0:
		return fmt.Errorf("maxRows is %d; it must be 0 (no limit) or more", a.MaxRows)
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
	// Rows is the number of rows that were deleted, or would be without dryRun.
	Rows    int64 `json:"rows"`
	Batches int   `json:"batches,omitempty"`
	DryRun  bool  `json:"dryRun,omitempty"`
	// More says that maxRows was reached, so more old rows may be left.
	More bool `json:"more,omitempty"`
}

// cleanupProgress is the checkpoint of the handler "data-cleanup".
type cleanupProgress struct {
	Rows    int64 `json:"rows"`
	Batches int   `json:"batches"`
	// Leaf is the current table or partition, and After the place in it where the next
	// batch begins.
	Leaf  string `json:"leaf"`
	After string `json:"after"`
}

// Cleanup returns the handler "data-cleanup", which deletes old rows in batches.
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
		return runner.Permanent(fmt.Errorf("column %q of table %q has the type %s; data-cleanup needs timestamptz, timestamp or date", job.Args.Column, target, kind))
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

// cutoffAs returns SQL for the cut-off, parameter $1, as a value of the column's type,
// and reports whether the type is supported.
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

// cutoffOf returns the cut-off. It counts from the run's first attempt, so a retry
// deletes no more than the first attempt would have.
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
	// compared is SQL for the cut-off, kind the column's type.
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

// room returns how many rows the next batch may delete.
func (c *cleaner) room() int64 {
	room := int64(c.job.Args.BatchSize)
	if c.job.Args.MaxRows > 0 {
		room = min(room, c.job.Args.MaxRows-c.done.Rows)
	}
	return room
}

// explainDelete is like explain, but makes violated foreign keys permanent too.
func explainDelete(err error) error {
	const foreignKeyViolation = "23503"
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == foreignKeyViolation {
		return runner.Permanent(explain(err))
	}
	return explain(err)
}
