package runner

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/powerful_role.sql
	powerfulRoleSQL string
	//go:embed sql/reach.sql
	reachSQL string
)

// querier is a connection, or a pool of them.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// checkRole refuses a session whose role has rights beyond its database, and so could
// reach other tenants' databases on the same server. It takes one round trip.
func checkRole(ctx context.Context, db querier) error {
	var role, powerful string
	var superuser bool
	err := db.QueryRow(ctx, powerfulRoleSQL).Scan(&role, &powerful, &superuser)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var what string
	switch {
	case role == powerful:
		what = "is a superuser"
	case superuser:
		what = fmt.Sprintf("may become the superuser %q", powerful)
	default:
		what = fmt.Sprintf("is a member of %q, which can reach all files of the server", powerful)
	}
	return usagef("the database role %q %s: it is not limited to its own database. "+
		"Give the workspace a role of its own (docs/database.md has the SQL) and put it in the Secret's URL; "+
		"or, if everything on that server belongs to this workspace, set database.allowSuperuser in the Workspace", role, what)
}

// reach is what a role may do beyond its own database, as the catalog says.
type reach struct {
	role                              string
	createRole, createDB, replication bool
	signals, statistics, connections  bool
	otherDatabases                    int
}

// warnOfReach returns a warning about what a role that is not refused may still do
// beyond its own database, or "" if it may do nothing there.
func warnOfReach(ctx context.Context, db querier) (string, error) {
	var r reach
	err := db.QueryRow(ctx, reachSQL).Scan(&r.role, &r.createRole, &r.createDB, &r.replication,
		&r.signals, &r.statistics, &r.connections, &r.otherDatabases)
	if err != nil {
		return "", err
	}
	return r.warning(), nil
}

func (r reach) warning() string {
	var may []string
	for _, item := range []struct {
		has  bool
		text string
	}{
		{r.otherDatabases > 0, fmt.Sprintf("connect to other databases of the server (%d)", r.otherDatabases)},
		{r.createRole, "change other roles (CREATEROLE)"},
		{r.createDB, "create databases (CREATEDB)"},
		{r.replication, "replicate the whole server (REPLICATION)"},
		{r.signals, "end other roles' sessions (pg_signal_backend)"},
		{r.connections, "use all connections of the server (CONNECTION LIMIT)"},
		{r.statistics, "read other roles' statements (pg_read_all_stats)"},
	} {
		if item.has {
			may = append(may, item.text)
		}
	}
	if len(may) == 0 {
		return ""
	}
	return fmt.Sprintf("The database role %q is not limited to its own database: it may %s. See docs/database.md.",
		r.role, strings.Join(may, ", "))
}
