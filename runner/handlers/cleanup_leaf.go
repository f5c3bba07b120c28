package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

const (
	// firstStretch and longestStretch are numbers of pages that one batch scans: few
	// where many rows are old, many where few are.
	firstStretch   = 64
	longestStretch = 8192
)

// leaf is a table that holds rows: a plain table or a partition.
type leaf struct {
	Schema, Name, Kind string
	// Indexed says that an index finds rows by the column.
	Indexed bool
}

func (l leaf) sql() string    { return pgx.Identifier{l.Schema, l.Name}.Sanitize() }
func (l leaf) String() string { return l.Schema + "." + l.Name }

func (c *cleaner) leaves(ctx context.Context) ([]leaf, error) {
	text, err := statement("leaves")
	if err != nil {
		return nil, err
	}
	rows, err := c.job.Pool.Query(ctx, text, c.target.oid, c.job.Args.Column)
	if err != nil {
		return nil, explain(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[leaf])
	if err != nil {
		return nil, explain(err)
	}
	for _, at := range found {
		if at.Kind != "r" {
			return nil, runner.Permanent(fmt.Errorf("the partition %q is not a table of this database", at))
		}
	}
	return found, nil
}

func (c *cleaner) cleanLeaf(ctx context.Context, at leaf) error {
	if at.Indexed {
		return c.cleanByIndex(ctx, at)
	}
	return c.cleanByPlace(ctx, at)
}

// cleanByIndex scans the column's index, oldest rows first.
func (c *cleaner) cleanByIndex(ctx context.Context, at leaf) error {
	text, err := statement("delete_by_index", "table", at.sql(), "column", c.column(), "cutoff", c.compared, "type", c.kind)
	if err != nil {
		return err
	}
	for c.room() > 0 {
		from := c.done.After
		if from == "" {
			from = "-infinity"
		}
		room, before := c.room(), c.done.Rows
		reached := func(last string, _ int64) string { return last }
		found, err := c.batch(ctx, text, reached, c.cutoff, from, room)
		if err != nil {
			return err
		}
		if found < room {
			return nil
		}
		if c.done.Rows == before && c.done.After == from {
			return runner.Permanent(fmt.Errorf("old rows of %q are still there after they were deleted: a trigger keeps them", at))
		}
	}
	return nil
}

// cleanByPlace scans the table's pages, from the first to what is now the last. A row
// that is moved forward meanwhile is found again. One that is moved back is left to the
// next cleanup.
func (c *cleaner) cleanByPlace(ctx context.Context, at leaf) error {
	text, err := statement("delete_by_place", "table", at.sql(), "column", c.column(), "cutoff", c.compared)
	if err != nil {
		return err
	}
	pages, err := c.pages(ctx, at)
	if err != nil {
		return err
	}
	stretch := int64(firstStretch)
	for c.room() > 0 {
		after := c.done.After
		if after == "" {
			after = "(0,0)"
		}
		begin, err := pageOf(after)
		if err != nil {
			return err
		}
		if begin >= pages {
			return nil
		}
		end := fmt.Sprintf("(%d,0)", begin+stretch)
		room := c.room()
		reached := func(last string, found int64) string {
			if found < room {
				return end
			}
			return last
		}
		found, err := c.batch(ctx, text, reached, c.cutoff, after, end, room)
		if err != nil {
			return err
		}
		switch {
		case found >= room:
			stretch = max(1, stretch/2)
		case found < room/4:
			stretch = min(longestStretch, stretch*2)
		}
	}
	return nil
}

func (c *cleaner) pages(ctx context.Context, at leaf) (int64, error) {
	text, err := statement("last_block")
	if err != nil {
		return 0, err
	}
	var pages int64
	if err := c.job.Pool.QueryRow(ctx, text, at.sql()).Scan(&pages); err != nil {
		return 0, explain(err)
	}
	return pages, nil
}

// pageOf returns the page of a ctid such as (12,3).
func pageOf(ctid string) (int64, error) {
	var page, item int64
	if _, err := fmt.Sscanf(ctid, "(%d,%d)", &page, &item); err != nil {
		return 0, fmt.Errorf("read the position %q in the checkpoint: %w", ctid, err)
	}
	return page, nil
}

// batch deletes one batch and returns how many rows it found. From the place of the
// last row and that number, reached computes where the next batch begins.
func (c *cleaner) batch(ctx context.Context, text string, reached func(string, int64) string, args ...any) (int64, error) {
	next := c.done
	var deleted, found int64
	err := c.job.Tx(ctx, func(tx *runner.Tx) error {
		var last string
		if err := tx.QueryRow(ctx, text, args...).Scan(&deleted, &found, &last); err != nil {
			return explainDelete(err)
		}
		next.After = reached(last, found)
		next.Rows += deleted
		if deleted > 0 {
			next.Batches++
		}
		return tx.Checkpoint(next)
	})
	if err != nil {
		return 0, err
	}
	c.done = next
	if deleted > 0 && time.Since(c.logged) >= progressEvery {
		c.logged = time.Now()
		c.job.Logger.Info("cleanup in progress", "table", next.Leaf, "rows", next.Rows, "batches", next.Batches)
	}
	return found, nil
}
