package handlers

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

//go:embed sql
var files embed.FS

// statement returns the text of sql/<name>.sql with its {placeholders} replaced. pairs
// are names of placeholders, each followed by SQL that is safe to put there, such as a
// sanitized identifier.
func statement(name string, pairs ...string) (string, error) {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return "", err
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		pairs[i] = "{" + pairs[i] + "}"
	}
	return strings.NewReplacer(pairs...).Replace(string(text)), nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// table is a table as the catalog describes it.
type table struct {
	oid          int64
	schema, name string
	// kind is pg_class.relkind.
	kind string
	// columns maps names to types.
	columns map[string]string
}

// sql returns the table's name, quoted for SQL.
func (t table) sql() string { return pgx.Identifier{t.schema, t.name}.Sanitize() }

// String returns the table's name for people.
func (t table) String() string { return t.schema + "." + t.name }

// findTable looks up "schema.table" or "table". SQL in a name is not executed: a table
// of that name does not exist.
func findTable(ctx context.Context, db querier, name string) (table, error) {
	var found table
	schema, relation, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, relation = "", name
	}
	if strings.ContainsRune(name, 0) {
		return found, runner.Permanent(fmt.Errorf("%q can't be the name of a table", name))
	}
	text, err := statement("find_table")
	if err != nil {
		return found, err
	}
	err = db.QueryRow(ctx, text, schema, relation).Scan(&found.oid, &found.schema, &found.name, &found.kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, runner.Permanent(fmt.Errorf("table %q does not exist in this database", name))
	}
	if err != nil {
		return found, explain(err)
	}
	if found.kind != "r" && found.kind != "p" {
		return found, runner.Permanent(fmt.Errorf("%q is a view or a foreign table, not a table of this database", name))
	}
	found.columns, err = columnsOf(ctx, db, found.oid)
	return found, err
}

func columnsOf(ctx context.Context, db querier, oid int64) (map[string]string, error) {
	text, err := statement("columns")
	if err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, text, oid)
	if err != nil {
		return nil, explain(err)
	}
	columns := map[string]string{}
	var name, kind string
	_, err = pgx.ForEachRow(rows, []any{&name, &kind}, func() error {
		columns[name] = kind
		return nil
	})
	return columns, err
}

// mustHave returns an error if the table lacks one of the columns.
func (t table) mustHave(names ...string) error {
	for _, name := range names {
		if _, ok := t.columns[name]; ok {
			continue
		}
		var has []string
		for column := range t.columns {
			has = append(has, column)
		}
		slices.Sort(has)
		if len(has) > 30 {
			has = append(has[:30], "…")
		}
		return runner.Permanent(fmt.Errorf("table %q has no column %q; it has %s", t, name, strings.Join(has, ", ")))
	}
	return nil
}
