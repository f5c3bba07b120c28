package ledger

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3/database"
)

// versions stores the applied migrations for the migration library. The library's own
// store does not quote the schema, and allows a version to be there twice.
type versions struct {
	schema string

	create, comment, add, remove, get, list, newest, relations, schemaExists, tableExists string
}

var _ database.StoreExtender = (*versions)(nil)

func newVersions(schema string) (*versions, error) {
	v := &versions{schema: schema}
	for name, target := range map[string]*string{
		"create_version_table": &v.create, "comment_version_table": &v.comment, "add_version": &v.add,
		"remove_version": &v.remove, "get_version": &v.get, "list_versions": &v.list,
		"version": &v.newest, "relations": &v.relations, "schema_exists": &v.schemaExists,
		"table_exists": &v.tableExists,
	} {
		text, err := query(schema, name)
		if err != nil {
			return nil, err
		}
		*target = text
	}
	return v, nil
}

// inspect lists the schema's relations and reports whether the schema is a ledger.
func (v *versions) inspect(ctx context.Context, db *sql.DB) (names []string, isLedger bool, err error) {
	rows, err := db.QueryContext(ctx, v.relations, v.schema)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			return nil, false, err
		}
		names = append(names, name)
		isLedger = isLedger || name == versionTable && comment == versionComment
	}
	return names, isLedger, rows.Err()
}

func (v *versions) Tablename() string { return versionTable }

func (v *versions) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var exists bool
	err := db.QueryRowContext(ctx, v.tableExists, v.schema, versionTable).Scan(&exists)
	return exists, err
}

func (v *versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	if _, err := db.ExecContext(ctx, v.create); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, v.comment)
	return err
}

func (v *versions) Insert(ctx context.Context, db database.DBTxConn, request database.InsertRequest) error {
	_, err := db.ExecContext(ctx, v.add, request.Version)
	return err
}

func (v *versions) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	_, err := db.ExecContext(ctx, v.remove, version)
	return err
}

func (v *versions) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	found := &database.GetMigrationResult{IsApplied: true}
	err := db.QueryRowContext(ctx, v.get, version).Scan(&found.Timestamp)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, database.ErrVersionNotFound
	}
	return found, err
}

func (v *versions) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var version int64
	err := db.QueryRowContext(ctx, v.newest).Scan(&version)
	return version, err
}

func (v *versions) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, v.list)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []*database.ListMigrationsResult
	for rows.Next() {
		applied := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&applied.Version); err != nil {
			return nil, err
		}
		found = append(found, applied)
	}
	return found, rows.Err()
}
