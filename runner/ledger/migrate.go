package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// versionTable is the table that says how far a ledger is migrated, and versionMark
// the comment by which it is told from a table of that name that isn't ours.
const (
	versionTable = "ledger_version"
	versionMark  = "Ledger of Workspace Jobs"
)

// migrationPoll is how often to look whether another's migration is over.
const migrationPoll = 200 * time.Millisecond

// tables is all that a ledger of the newest version holds, beside versionTable.
func tables() []string {
	return []string{
		"attempts", "checkpoints", "jobs", "report_queries", "reports", "run_states", "runs", "sync_pages",
	}
}

// ForeignError says that the schema holds what isn't the ledger's; nothing was
// changed in it.
type ForeignError struct {
	Schema    string
	Relations []string
}

func (e *ForeignError) Error() string {
	shown := e.Relations
	if len(shown) > 5 {
		shown = append(slices.Clone(shown[:5]), "…")
	}
	whose := "tables that are not the ledger's"
	if slices.Contains(e.Relations, "job") && slices.Contains(e.Relations, "jobqueue") {
		whose = "Hangfire's own tables"
	}
	return fmt.Sprintf("schema %q already holds %s (%s): choose another with database.schema in the Workspace, e.g. workspace_jobs",
		e.Schema, whose, strings.Join(shown, ", "))
}

// Migrate makes the ledger in a schema or brings it up to date, and returns its
// version. It works on conn, and on a second connection to the same database. It
// may be called any number of times and by many at once. Errors:
// [*ForeignError], [ErrNewer], and whatever the database answers; what was not
// migrated to the end of a version is as it was.
func Migrate(ctx context.Context, conn *pgx.Conn, schema string) (int64, error) {
	if err := CheckSchema(schema); err != nil {
		return 0, err
	}
	for {
		version, locked, err := tryMigrate(ctx, conn, schema)
		if locked || err != nil {
			return version, err
		}
		if err := sleep(ctx, migrationPoll); err != nil {
			return 0, err
		}
	}
}

// tryMigrate migrates unless somebody else is at it (not locked). Who waits for
// the lock does so without a transaction: many that wait in one would leave none
// of a pooler's sessions to the one that works.
//
// The lock lives in a transaction of its own, as long as the migration lasts.
// Should it be lost on the way, each migration still happens once or not at all:
// it is one transaction, with its row in versionTable.
func tryMigrate(ctx context.Context, guard *pgx.Conn, schema string) (version int64, locked bool, err error) {
	text, err := query(schema, "try_migrate_lock")
	if err != nil {
		return 0, false, err
	}
	err = pgx.BeginTxFunc(ctx, guard, txOptions(), func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, text, schema).Scan(&locked); err != nil || !locked {
			return err
		}
		version, err = migrateLocked(ctx, guard.Config(), schema)
		return err
	})
	return version, locked, err
}

func migrateLocked(ctx context.Context, config *pgx.ConnConfig, schema string) (int64, error) {
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	versions, err := newVersions(schema)
	if err != nil {
		return 0, err
	}
	if err := prepareSchema(ctx, db, versions); err != nil {
		return 0, err
	}
	files, err := migrationFiles(schema)
	if err != nil {
		return 0, err
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, files,
		goose.WithStore(versions), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, err
	}
	if _, err := provider.Up(ctx); err != nil {
		return 0, err
	}
	return provider.GetDBVersion(ctx)
}

// prepareSchema makes the schema, or makes sure that it is empty or a ledger that
// this runner knows.
func prepareSchema(ctx context.Context, db *sql.DB, versions *versions) error {
	var exists bool
	if err := db.QueryRowContext(ctx, versions.schemaExists, versions.schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{versions.schema}.Sanitize())
		return err
	}
	found, ours, err := versions.inspect(ctx, db)
	if err != nil {
		return err
	}
	if ours {
		version, err := versions.GetLatestVersion(ctx, db)
		if err != nil {
			return err
		}
		newest, err := newestMigration()
		if err != nil {
			return err
		}
		if version > newest {
			return ErrNewer
		}
	}
	if foreign := foreignRelations(found, ours); len(foreign) > 0 {
		return &ForeignError{Schema: versions.schema, Relations: foreign}
	}
	return nil
}

// foreignRelations is what of the found relations isn't the ledger's: in a schema
// that is not marked as ours even a table that has one of our names.
func foreignRelations(found []string, ours bool) []string {
	if !ours {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(name string) bool {
		return name == versionTable || slices.Contains(tables(), name)
	})
}
