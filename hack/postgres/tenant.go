package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CreateTenant makes a database called name and a role of the same name that
// owns it, and that can connect to no other: as a workspace's database is. It
// returns the role's URL. A tenant that is there already keeps its data and gets
// the password.
func (s *Server) CreateTenant(ctx context.Context, name, password string) (string, error) {
	conn, err := pgx.Connect(ctx, s.AdminURL())
	if err != nil {
		return "", err
	}
	err = createTenant(ctx, conn, name, password)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return "", fmt.Errorf("make the tenant %q: %w", name, err)
	}
	return s.URL(name, password, name), nil
}

func createTenant(ctx context.Context, conn *pgx.Conn, name, password string) error {
	var exists bool
	var createRole, alterRole string
	// Utility statements take no parameters: the server quotes the values.
	err := conn.QueryRow(ctx,
		`SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		        format('CREATE ROLE %I LOGIN', $1::text),
		        format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)`,
		name, password).Scan(&exists, &createRole, &alterRole)
	if err != nil {
		return err
	}
	quoted := pgx.Identifier{name}.Sanitize()
	statements := []string{alterRole}
	if !exists {
		statements = []string{
			createRole,
			alterRole,
			`CREATE DATABASE ` + quoted + ` OWNER ` + quoted,
		}
	}
	// Everybody may connect to a new database unless told otherwise.
	statements = append(statements, `REVOKE ALL ON DATABASE `+quoted+` FROM PUBLIC`)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// closeDatabases keeps tenants out of the databases that every server has.
func closeDatabases(ctx context.Context, conn *pgx.Conn) error {
	for _, database := range []string{"postgres", "template1"} {
		if _, err := conn.Exec(ctx, `REVOKE ALL ON DATABASE `+database+` FROM PUBLIC`); err != nil {
			return err
		}
	}
	return nil
}
