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

const (
	// versionTable is the table with the migrations that were applied.
	versionTable = "ledger_version"
	// versionComment is the comment that tells a ledger's versionTable from any other
	// table of that name.
	versionComment = "Ledger of Workspace Jobs"
)

// migrationPoll is how often to check whether the migration of another process is over.
const migrationPoll = 200 * time.Millisecond

// tables returns the tables of a ledger of the newest version, without versionTable.
func tables() []string {
	return []string{
		"attempts", "checkpoints", "jobs", "report_queries", "reports", "run_states", "runs", "sync_pages",
	}
}

// ForeignError is returned when the schema has relations that don't belong to a
// ledger. Nothing was changed in it.
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

// Migrate creates the ledger in a schema or brings it up to date, and returns its
// version. It uses conn and a second connection to the same database. It may be called
// any number of times and concurrently. It returns [*ForeignError], [ErrNewer] or an
// error of the database. A migration that fails is rolled back.
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

// tryMigrate migrates, unless another process is migrating: then locked is false. A
// process must not wait for the lock in a transaction, since many that wait would use
// up a pooler's sessions and leave none to the process that migrates.
//
// A separate transaction holds the lock for as long as the migration takes. If the
// lock is lost meanwhile, each migration still happens once or not at all, since it is
// one transaction that includes its row in versionTable.
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

// prepareSchema creates the schema, or checks that it is empty or a ledger that this
// runner knows.
func prepareSchema(ctx context.Context, db *sql.DB, versions *versions) error {
	var exists bool
	if err := db.QueryRowContext(ctx, versions.schemaExists, versions.schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{versions.schema}.Sanitize())
		return err
	}
	found, isLedger, err := versions.inspect(ctx, db)
	if err != nil {
		return err
	}
	if isLedger {
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
	if foreign := foreignRelations(found, isLedger); len(foreign) > 0 {
		return &ForeignError{Schema: versions.schema, Relations: foreign}
	}
	return nil
}

// foreignRelations returns the relations that don't belong to the ledger. In a schema
// that is not a ledger these are all, even those with the name of one of its tables.
func foreignRelations(found []string, isLedger bool) []string {
	if !isLedger {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(name string) bool {
		return name == versionTable || slices.Contains(tables(), name)
	})
}
