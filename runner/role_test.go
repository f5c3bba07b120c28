package runner_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// role returns the quoted name of the database's role.
func (db testDB) role(t *testing.T) string { return db.text(t, `SELECT quote_ident(current_user)`) }

func TestPowerfulRolesAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ grant, says string }{
		"superuser":         {`ALTER ROLE $role SUPERUSER`, `is a superuser: it is not limited`},
		"of the superuser":  {`GRANT postgres TO $role`, `may become the superuser "postgres": it is not limited`},
		"not by itself":     {`ALTER ROLE $role NOINHERIT; GRANT postgres TO $role`, `may become the superuser "postgres"`},
		"of one in between": {`CREATE ROLE of_$role NOLOGIN; GRANT postgres TO of_$role; GRANT of_$role TO $role`, `may become the superuser "postgres"`},
		"runs programs":     {`GRANT pg_execute_server_program TO $role`, `is a member of "pg_execute_server_program"`},
		"reads files":       {`GRANT pg_read_server_files TO $role`, `is a member of "pg_read_server_files"`},
		"writes files":      {`GRANT pg_write_server_files TO $role`, `is a member of "pg_write_server_files"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ways(t, func(t *testing.T, db testDB) {
				db.grant(t, test.grant)
				for _, a := range []attempt{
					{handler: "effect"},
					{handler: "effect", env: map[string]string{contract.EnvAllowSuperuser: "false"}},
					{command: contract.CommandMigrate},
				} {
					p := db.start(t, a)
					p.wantExit(contract.ExitUsage)
					for _, words := range []string{`the database role "test_`, test.says, "docs/database.md", "database.allowSuperuser"} {
						if got := p.answer().Error; !strings.Contains(got, words) {
							t.Errorf("error  %s\nwanted %s", got, words)
						}
					}
				}
				db.want(t, "0", `SELECT count(*) FROM hangfire.jobs`)
				db.want(t, "0", `SELECT count(*) FROM effects`)

				allowed := map[string]string{contract.EnvAllowSuperuser: "true"}
				db.start(t, attempt{command: contract.CommandMigrate, env: allowed}).wantExit(contract.ExitDone)
				db.start(t, attempt{handler: "effect", env: allowed}).wantExit(contract.ExitDone)
				db.want(t, "1", `SELECT count(*) FROM effects`)
			})
		})
	}
}

// grant runs statements as the superuser. $role is replaced by the database's role.
func (db testDB) grant(t *testing.T, sql string) {
	t.Helper()
	adminDB(t, db.text(t, `SELECT current_database()`)).exec(t, strings.ReplaceAll(sql, "$role", db.role(t)))
}

// TestRolesThatReachBeyondTheirDatabase checks that such roles, which managed databases
// give to their admins, work, and that the migration warns about what they may do.
func TestRolesThatReachBeyondTheirDatabase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ grant, warns string }{
		"limited to its own":       {`SELECT 1`, ``},
		"of all rows":              {`ALTER ROLE $role BYPASSRLS; GRANT pg_read_all_data, pg_write_all_data TO $role`, ``},
		"of a managed database":    {`ALTER ROLE $role CREATEROLE CREATEDB; GRANT pg_monitor, pg_signal_backend TO $role`, `change other roles (CREATEROLE), create databases (CREATEDB), end other roles' sessions (pg_signal_backend), read other roles' statements (pg_read_all_stats). See docs/database.md.`},
		"without a limit":          {`ALTER ROLE $role CONNECTION LIMIT -1`, `it may use all connections of the server (CONNECTION LIMIT).`},
		"above the server's limit": {`ALTER ROLE $role CONNECTION LIMIT 100000`, `it may use all connections of the server (CONNECTION LIMIT).`},
		"replicates":               {`ALTER ROLE $role REPLICATION`, `it may replicate the whole server (REPLICATION).`},
		"let into other databases": {`CREATE DATABASE open_$role ALLOW_CONNECTIONS false; REVOKE ALL ON DATABASE open_$role FROM PUBLIC; ALTER DATABASE open_$role ALLOW_CONNECTIONS true; GRANT CONNECT ON DATABASE open_$role TO $role`, `it may connect to other databases of the server (`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t, false)
			for sql := range strings.SplitSeq(test.grant, "; ") {
				db.grant(t, sql)
			}
			p := db.start(t, attempt{command: contract.CommandMigrate})
			p.wantExit(contract.ExitDone)
			var result contract.MigrationResult
			if err := json.Unmarshal(p.answer().Result, &result); err != nil || result.SchemaVersion != 1 {
				t.Errorf("%+v, %v", result, err)
			}
			if (result.Warning == "") != (test.warns == "") || !strings.Contains(result.Warning, test.warns) {
				t.Errorf("warning %q; want %q", result.Warning, test.warns)
			}
			db.start(t, attempt{handler: "effect"}).wantExit(contract.ExitDone)
		})
	}
}

// TestMigratesWithoutCreateOnTheDatabase uses the strictest set-up: the schema exists,
// and the role may not create another.
func TestMigratesWithoutCreateOnTheDatabase(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		db := emptyDB(t, pooled)
		db.want(t, "false false", `SELECT concat_ws(' ', has_database_privilege(current_database(), 'CREATE')::text,
			(nspowner = current_user::regrole)::text) FROM pg_namespace WHERE nspname = 'hangfire'`)
		for range 2 {
			db.start(t, attempt{command: contract.CommandMigrate}).wantExit(contract.ExitDone)
		}
		db.want(t, "0", `SELECT count(*) FROM hangfire.jobs`)
	}
}
