package ledger

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql migrations/*.sql
var files embed.FS

// queries are the package's SQL statements for one schema.
type queries struct {
	// newest is the version of the newest migration.
	newest int64

	version, listRuns, lockTimeout, addJob, lockJob, lockRuns, endOlderRuns, endOpenAttempts, acquireLease, beginAttempt,
	loadCheckpoint, saveCheckpoint, heartbeat, nameSession, fence, end, endSessions string
}

func loadQueries(schema string) (queries, error) {
	var q queries
	if err := CheckSchema(schema); err != nil {
		return q, err
	}
	for name, target := range map[string]*string{
		"version": &q.version, "list_runs": &q.listRuns, "lock_timeout": &q.lockTimeout, "add_job": &q.addJob,
		"lock_job": &q.lockJob, "lock_runs": &q.lockRuns, "end_older_runs": &q.endOlderRuns,
		"end_open_attempts": &q.endOpenAttempts, "acquire_lease": &q.acquireLease, "begin_attempt": &q.beginAttempt,
		"load_checkpoint": &q.loadCheckpoint, "save_checkpoint": &q.saveCheckpoint,
		"heartbeat": &q.heartbeat, "name_session": &q.nameSession, "fence": &q.fence, "end": &q.end,
		"end_sessions": &q.endSessions,
	} {
		text, err := query(schema, name)
		if err != nil {
			return q, err
		}
		*target = text
	}
	var err error
	q.newest, err = newestMigration()
	return q, err
}

// query returns the text of sql/<name>.sql for a schema.
func query(schema, name string) (string, error) {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return "", err
	}
	return inSchema(schema, string(text)), nil
}

// inSchema replaces "ledger." in SQL by the ledger's schema.
func inSchema(schema, text string) string {
	return strings.ReplaceAll(text, "ledger.", pgx.Identifier{schema}.Sanitize()+".")
}

// CheckSchema returns an error unless the ledger can have a schema of that name: 1 to
// 63 bytes, and not one of PostgreSQL's own.
func CheckSchema(schema string) error {
	switch {
	case schema == "":
		return errors.New("the ledger's schema has no name")
	case len(schema) > 63:
		return fmt.Errorf("the name of the ledger's schema %q is longer than 63 bytes, PostgreSQL's limit", schema)
	case strings.ContainsRune(schema, 0):
		return errors.New("the name of the ledger's schema contains a NUL")
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		return fmt.Errorf("the schema %q is PostgreSQL's own: choose another for the ledger", schema)
	}
	return nil
}

func newestMigration() (int64, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}
