package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner"
)

// syncTarget is the table that a sync writes to, and what the ledger knows about the
// sync's source.
type syncTarget struct {
	table  table
	source string

	upsert, findPage, keepPage, forgetPage, forgetOlder string
}

// knownPage is what the ledger knows about a page that was read before.
type knownPage struct{ etag, next string }

func newSyncTarget(ctx context.Context, job *runner.Job[SyncArgs]) (*syncTarget, error) {
	found, err := findTable(ctx, job.Pool, job.Args.Table)
	if err != nil {
		return nil, err
	}
	if found.kind != "r" {
		return nil, runner.Permanent(fmt.Errorf("table %q is partitioned; external-sync needs a plain table", found))
	}
	if err := found.mustHave(job.Args.columns()...); err != nil {
		return nil, err
	}
	if err := mustBeKey(ctx, job.Pool, found, job.Args.Key); err != nil {
		return nil, err
	}
	target := &syncTarget{table: found}
	if target.source, err = job.Args.source(); err != nil {
		return nil, err
	}
	ledger := pgx.Identifier{job.Schema}.Sanitize()
	for name, text := range map[string]*string{
		"find_page": &target.findPage, "keep_page": &target.keepPage, "forget_page": &target.forgetPage,
		"forget_older_pages": &target.forgetOlder,
	} {
		if *text, err = statement(name, "ledger", ledger); err != nil {
			return nil, err
		}
	}
	target.upsert, err = upsertStatement(found, job.Args.columns(), job.Args.Key)
	return target, err
}

func mustBeKey(ctx context.Context, db querier, target table, key []string) error {
	text, err := statement("unique_key")
	if err != nil {
		return err
	}
	sorted := slices.Clone(key)
	slices.Sort(sorted)
	var unique bool
	if err := db.QueryRow(ctx, text, target.oid, sorted).Scan(&unique); err != nil {
		return explain(err)
	}
	if !unique {
		return runner.Permanent(fmt.Errorf("table %q has no unique index on exactly (%s), which key needs", target, strings.Join(key, ", ")))
	}
	return nil
}

// upsertStatement returns SQL that inserts new rows, updates rows that differ and leaves
// the others alone.
func upsertStatement(target table, columns, key []string) (string, error) {
	var assignments, current, incoming []string
	for _, column := range columns {
		if slices.Contains(key, column) {
			continue
		}
		quoted := pgx.Identifier{column}.Sanitize()
		assignments = append(assignments, quoted+" = excluded."+quoted)
		current = append(current, "t."+quoted)
		incoming = append(incoming, "excluded."+quoted)
	}
	action := "DO NOTHING"
	if len(assignments) > 0 {
		action = fmt.Sprintf("DO UPDATE SET %s WHERE (%s) IS DISTINCT FROM (%s)",
			strings.Join(assignments, ", "), strings.Join(current, ", "), strings.Join(incoming, ", "))
	}
	return statement("upsert", "table", target.sql(), "columns", quoteAll(columns), "key", quoteAll(key), "action", action)
}

func quoteAll(names []string) string {
	quoted := make([]string, 0, len(names))
	for _, name := range names {
		quoted = append(quoted, pgx.Identifier{name}.Sanitize())
	}
	return strings.Join(quoted, ", ")
}

func (t *syncTarget) known(ctx context.Context, db querier, address string) (knownPage, error) {
	var found knownPage
	err := db.QueryRow(ctx, t.findPage, t.source, digest(address)).Scan(&found.etag, &found.next)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return found, explain(err)
	}
	return found, nil
}

// store writes a page's rows and returns how many were inserted and updated.
func (t *syncTarget) store(ctx context.Context, tx *runner.Tx, read page) (inserted, updated int64, err error) {
	if read.rows == nil {
		return 0, 0, nil
	}
	err = tx.QueryRow(ctx, t.upsert, string(read.rows)).Scan(&inserted, &updated)
	return inserted, updated, explainRows(err)
}

// explainRows is like explain, but also makes it permanent if rows don't fit the table.
func explainRows(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return err
	}
	const dataException, integrity, cardinality = "22", "23", "21"
	if slices.Contains([]string{dataException, integrity, cardinality}, answer.Code[:min(2, len(answer.Code))]) {
		return runner.Permanent(fmt.Errorf("the page does not fit the table: %w", explain(err)))
	}
	return explain(err)
}

// remember stores the page's ETag, with which the next sync asks whether the page has
// changed. After the last page it deletes pages that are no longer part of the source.
func (t *syncTarget) remember(ctx context.Context, tx *runner.Tx, address, etag, next string, last bool, started time.Time) error {
	var err error
	if etag == "" {
		_, err = tx.Exec(ctx, t.forgetPage, t.source, digest(address))
	}
	if etag != "" {
		_, err = tx.Exec(ctx, t.keepPage, t.source, digest(address), etag, next)
	}
	if err == nil && last {
		_, err = tx.Exec(ctx, t.forgetOlder, t.source, started)
	}
	return explain(err)
}
