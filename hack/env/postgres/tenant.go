package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The SQL that an admin runs, here and as docs/database.md says.
var (
	//go:embed sql/server.sql
	serverSQL string
	//go:embed sql/tenant.sql
	tenantSQL string
)

// ledgerSchema is the schema for the ledger of a tenant's role.
const ledgerSchema = "hangfire"

// concurrency is how many jobs of a tenant may run at once: the default of a Workspace.
const concurrency = 20

// CreateTenant creates a database and a role of the same name that can connect only to
// it, as docs/database.md says, and returns the role's URL. The role may create tables
// in the schemas "hangfire" and "public", and no other schemas. A tenant that exists
// already keeps its data and gets the password.
func (s *Server) CreateTenant(ctx context.Context, name, password string) (string, error) {
	if err := s.createTenant(ctx, name, password); err != nil {
		return "", fmt.Errorf("create the tenant %q: %w", name, err)
	}
	return s.URL(name, password, name), nil
}

func (s *Server) createTenant(ctx context.Context, name, password string) error {
	programs, err := findPrograms(ctx)
	if err != nil {
		return err
	}
	return programs.runWith(ctx, input{
		text: tenantSQL,
		env: []string{
			"PGHOST=" + s.Listen[0], "PGPORT=" + strconv.Itoa(s.Port), "PGDATABASE=postgres",
			"PGUSER=" + adminRole, "PGPASSWORD=" + s.AdminPassword, "TENANT_PASSWORD=" + password,
		},
	}, "psql", "--no-psqlrc", "--quiet", "--file=-",
		"--set=ON_ERROR_STOP=1", "--set=tenant="+name, "--set=schema="+ledgerSchema,
		"--set=concurrency="+strconv.Itoa(concurrency))
}

// AllowSchemas lets a tenant's role create schemas in its database.
func (s *Server) AllowSchemas(ctx context.Context, tenant string) error {
	conn, err := pgx.Connect(ctx, s.AdminURL())
	if err != nil {
		return err
	}
	quoted := pgx.Identifier{tenant}.Sanitize()
	_, err = conn.Exec(ctx, strings.Join([]string{"GRANT CREATE ON DATABASE", quoted, "TO", quoted}, " "))
	return errors.Join(err, conn.Close(ctx))
}

// closeDatabases closes the databases that every server has to tenants.
func closeDatabases(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, serverSQL)
	return err
}
