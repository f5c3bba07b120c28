package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/hack/env/quick"
)

// SQLSTATE codes of the errors that tenants get.
const (
	insufficientPrivilege = "42501"
	undefinedObject       = "42704"
	notAccepting          = "55000"
	cannotConnect         = "08001"
	passwordRequired      = "2F003"
)

// street is a server with two tenants, ann and ben. ann tries to reach ben.
type street struct {
	*postgres.Server
	ann, ben string
	// bens is a session of ben, and bensObject a large object of his.
	bens       *pgx.Conn
	bensObject uint32
}

const (
	annsPassword = "ann's word"
	bensSecret   = "only ben may read this"
)

func newStreet(t *testing.T) *street {
	t.Helper()
	quick.LeaveOut(t, "PostgreSQL")
	server, err := postgres.Start(t.Context(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &street{Server: server}
	for name, target := range map[string]*string{"ann": &s.ann, "ben": &s.ben} {
		if *target, err = server.CreateTenant(t.Context(), name, name+"'s word"); err != nil {
			t.Fatal(err)
		}
	}
	// An admin may have installed these for ann.
	for _, sql := range []string{`CREATE EXTENSION dblink`, `CREATE EXTENSION postgres_fdw`} {
		mustQuery(t, s.admin("ann"), sql)
	}
	mustQuery(t, s.ben, `CREATE TABLE secrets AS SELECT '`+bensSecret+`' AS secret`)
	mustQuery(t, s.ann, `CREATE TABLE anns (n int)`)
	s.bens = connect(t, s.ben+"&application_name=bens-session")
	if err := s.bens.QueryRow(t.Context(), `SELECT lo_from_bytea(0, 'x') /* `+bensSecret+` */`).Scan(&s.bensObject); err != nil {
		t.Fatal(err)
	}
	return s
}

// admin returns the superuser's URL for a database.
func (s *street) admin(database string) string {
	return s.URL("postgres", s.AdminPassword, database)
}

// dblink returns SQL that calls a function of dblink with a connection string of ann for a
// database.
func (s *street) dblink(function, database, password string) string {
	to := fmt.Sprintf("host=%s port=%d dbname=%s user=ann", s.Listen[0], s.Port, database)
	if password != "" {
		to += ` password='` + strings.ReplaceAll(password, `'`, `\'`) + `'`
	}
	return fmt.Sprintf(`SELECT %s('%s')`, function, strings.ReplaceAll(to, `'`, `''`))
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestTenantCannotReachAcross pairs each attempt with one that works, to show that the
// attempt fails because it reaches across, and not for a mistake in the statement.
func TestTenantCannotReachAcross(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	anns := connect(t, s.ann) // a second session of ann, to end
	bensPID, annsPID := s.bens.PgConn().PID(), anns.PgConn().PID()
	asAdmin := func(sql string) []string { return []string{s.admin("ann"), sql} }
	asAnn := func(sql string) []string { return []string{s.ann, sql} }
	for name, test := range map[string]struct {
		sql   string
		code  string
		works []string // a URL, and a statement that works there
	}{
		"dblink to ben":                    {s.dblink("dblink_connect", "ben", annsPassword), cannotConnect, asAnn(s.dblink("dblink_connect", "ann", annsPassword))},
		"dblink as the server itself":      {s.dblink("dblink_connect", "ann", ""), passwordRequired, nil},
		"dblink unchecked":                 {s.dblink("dblink_connect_u", "ann", annsPassword), insufficientPrivilege, asAdmin(s.dblink("dblink_connect_u", "ann", annsPassword))},
		"a foreign server":                 {`CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw`, insufficientPrivilege, asAdmin(`CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw`)},
		"run a program":                    {`COPY anns TO PROGRAM 'cat >/dev/null'`, insufficientPrivilege, asAdmin(`COPY anns TO PROGRAM 'cat >/dev/null'`)},
		"write a file":                     {`COPY anns TO '/dev/null'`, insufficientPrivilege, asAdmin(`COPY anns TO '/dev/null'`)},
		"read a file":                      {`SELECT pg_read_file('PG_VERSION')`, insufficientPrivilege, asAdmin(`SELECT pg_read_file('PG_VERSION')`)},
		"list the databases' files":        {`SELECT pg_ls_dir('base')`, insufficientPrivilege, asAdmin(`SELECT pg_ls_dir('base')`)},
		"import a file":                    {`SELECT lo_import('/etc/hostname')`, insufficientPrivilege, asAnn(`SELECT lo_from_bytea(0, 'mine')`)},
		"ben's large object":               {fmt.Sprintf(`SELECT lo_get(%d)`, s.bensObject), undefinedObject, []string{s.ben, fmt.Sprintf(`SELECT lo_get(%d)`, s.bensObject)}},
		"end ben's session":                {fmt.Sprintf(`SELECT pg_terminate_backend(%d)`, bensPID), insufficientPrivilege, asAnn(fmt.Sprintf(`SELECT pg_terminate_backend(%d)`, annsPID))},
		"cancel ben's statement":           {fmt.Sprintf(`SELECT pg_cancel_backend(%d)`, bensPID), insufficientPrivilege, nil},
		"become ben":                       {`SET ROLE ben`, insufficientPrivilege, asAnn(`SET ROLE ann`)},
		"become ben's session":             {`SET SESSION AUTHORIZATION ben`, insufficientPrivilege, asAnn(`SET SESSION AUTHORIZATION ann`)},
		"join ben's role":                  {`GRANT ben TO ann`, insufficientPrivilege, nil},
		"join the server's":                {`GRANT pg_execute_server_program TO ann`, insufficientPrivilege, nil},
		"change ben's password":            {`ALTER ROLE ben PASSWORD 'x'`, insufficientPrivilege, asAnn(`ALTER ROLE ann PASSWORD '` + strings.ReplaceAll(annsPassword, `'`, `''`) + `'`)},
		"change ben's settings":            {`ALTER ROLE ben SET work_mem = '1MB'`, insufficientPrivilege, asAnn(`ALTER ROLE ann SET work_mem = '1MB'`)},
		"change the database's settings":   {`ALTER DATABASE ben SET work_mem = '1MB'`, insufficientPrivilege, asAdmin(`ALTER DATABASE ben SET work_mem = '4MB'`)},
		"be a superuser":                   {`ALTER ROLE ann SUPERUSER`, insufficientPrivilege, nil},
		"create databases":                 {`ALTER ROLE ann CREATEDB`, insufficientPrivilege, nil},
		"have more connections":            {`ALTER ROLE ann CONNECTION LIMIT -1`, insufficientPrivilege, nil},
		"a role":                           {`CREATE ROLE eve`, insufficientPrivilege, asAdmin(`CREATE ROLE eve`)},
		"a database":                       {`CREATE DATABASE eve`, insufficientPrivilege, asAdmin(`CREATE DATABASE eve`)},
		"drop ben's database":              {`DROP DATABASE ben`, insufficientPrivilege, nil},
		"drop the own database":            {`DROP DATABASE ann`, insufficientPrivilege, nil},
		"rename the own database":          {`ALTER DATABASE ann RENAME TO ann2`, insufficientPrivilege, nil},
		"take the own database":            {`ALTER DATABASE ann OWNER TO ann`, insufficientPrivilege, nil},
		"a schema":                         {`CREATE SCHEMA eve`, insufficientPrivilege, asAnn(`CREATE TABLE public.t (n int); CREATE TABLE hangfire.t (n int)`)},
		"drop the ledger's schema":         {`DROP SCHEMA hangfire CASCADE`, insufficientPrivilege, nil},
		"an extension that reaches files":  {`CREATE EXTENSION file_fdw`, insufficientPrivilege, asAdmin(`CREATE EXTENSION file_fdw`)},
		"an extension that tenants may":    {`CREATE EXTENSION pgcrypto`, insufficientPrivilege, asAdmin(`CREATE EXTENSION pgcrypto`)},
		"a function in C":                  {`CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'`, insufficientPrivilege, asAnn(`CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`)},
		"the server's configuration":       {`ALTER SYSTEM SET work_mem = '1MB'`, insufficientPrivilege, asAdmin(`ALTER SYSTEM RESET work_mem`)},
		"hide from the server's log":       {`SET log_statement = 'none'`, insufficientPrivilege, asAnn(`SET work_mem = '1MB'`)},
		"reload the server":                {`SELECT pg_reload_conf()`, insufficientPrivilege, asAdmin(`SELECT pg_reload_conf()`)},
		"a replication slot":               {`SELECT pg_create_physical_replication_slot('eve')`, insufficientPrivilege, nil},
		"a subscription":                   {`CREATE SUBSCRIPTION s CONNECTION 'dbname=ben' PUBLICATION p WITH (connect = false)`, insufficientPrivilege, nil},
		"a tablespace":                     {`CREATE TABLESPACE eve LOCATION '/tmp'`, insufficientPrivilege, nil},
		"the passwords' hashes":            {`SELECT rolpassword FROM pg_authid`, insufficientPrivilege, asAdmin(`SELECT rolpassword FROM pg_authid`)},
		"how much ben has":                 {`SELECT pg_database_size('ben')`, insufficientPrivilege, asAnn(`SELECT pg_database_size('ann')`)},
		"statistics of all, to forget":     {`SELECT pg_stat_reset_shared('bgwriter')`, insufficientPrivilege, asAdmin(`SELECT pg_stat_reset_shared('bgwriter')`)},
		"more sessions than other tenants": {`ALTER ROLE ann CONNECTION LIMIT 1000`, insufficientPrivilege, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connect(t, s.ann).Exec(t.Context(), test.sql)
			wantCode(t, err, test.code)
			if test.works == nil {
				return
			}
			if _, err := connect(t, test.works[0]).Exec(t.Context(), test.works[1]); err != nil {
				t.Errorf("the statement that should work, %s: %v", test.works[1], err)
			}
		})
	}
	s.wantUntouched(t)
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != code {
		t.Errorf("got %v; want SQLSTATE %s", err, code)
	}
}

// wantUntouched checks that ben's data and ann's rights have not changed.
func (s *street) wantUntouched(t *testing.T) {
	t.Helper()
	var secret string
	if err := s.bens.QueryRow(t.Context(), `SELECT secret FROM secrets`).Scan(&secret); err != nil || secret != bensSecret {
		t.Errorf("ben has %q, %v", secret, err)
	}
	var attributes string
	err := connect(t, s.admin("postgres")).QueryRow(t.Context(), `SELECT concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb,
		rolreplication, rolbypassrls, rolconnlimit, (SELECT count(*) FROM pg_auth_members WHERE member = r.oid))
		FROM pg_roles r WHERE rolname = 'ann'`).Scan(&attributes)
	if want := "f f f f f 130 0"; err != nil || attributes != want {
		t.Errorf("ann's role is %q, %v; want %q", attributes, err, want)
	}
}

func TestTenantConnectsToItsOwnDatabaseOnly(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	// An owner could do this. ann has no right to pass on, which is only a warning.
	mustQuery(t, s.ann, `GRANT CONNECT ON DATABASE ann TO ben`)
	mustQuery(t, s.ann, `GRANT CONNECT ON DATABASE ann TO PUBLIC`)
	for name, test := range map[string]struct{ url, code string }{
		"ben's database":     {s.URL("ann", annsPassword, "ben"), insufficientPrivilege},
		"the admin's":        {s.URL("ann", annsPassword, "postgres"), insufficientPrivilege},
		"the template":       {s.URL("ann", annsPassword, "template1"), insufficientPrivilege},
		"the first template": {s.URL("ann", annsPassword, "template0"), notAccepting},
		"ann's, by ben":      {s.URL("ben", "ben's word", "ann"), insufficientPrivilege},
		"a replica's way in": {s.ann + "&replication=database", insufficientPrivilege},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), test.url)
			if err == nil {
				_ = conn.Close(t.Context())
			}
			wantCode(t, err, test.code)
		})
	}
	mustQuery(t, s.ann, `SELECT 1`)
}

func TestNotificationsAndLocksStayInTheirDatabase(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	mustExec(t, s.bens, `LISTEN jobs`)
	mustQuery(t, s.ann, `NOTIFY jobs, 'of ann'`)
	mustQuery(t, s.ben, `NOTIFY jobs, 'of ben'`)
	got, err := s.bens.WaitForNotification(t.Context())
	if err != nil || got.Payload != "of ben" {
		t.Errorf("ben was notified with %+v, %v", got, err)
	}
	anns := connect(t, s.ann)
	mustExec(t, anns, `SELECT pg_advisory_lock(1)`)
	for url, want := range map[string]bool{s.ben: true, s.ann: false} {
		var free bool
		if err := connect(t, url).QueryRow(t.Context(), `SELECT pg_try_advisory_lock(1)`).Scan(&free); err != nil || free != want {
			t.Errorf("the lock that ann holds is free: %v, %v; want %v", free, err, want)
		}
	}
}

// TestWhatPostgreSQLShowsOfOtherTenants checks what docs/database.md says that PostgreSQL
// shows to every role, with no way to prevent it.
func TestWhatPostgreSQLShowsOfOtherTenants(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	mustQuery(t, s.admin("postgres"), `COMMENT ON ROLE ben IS 'of Ben Ltd'`)
	mustQuery(t, s.ben, `ALTER ROLE ben SET work_mem = '7MB'`)
	mustQuery(t, s.admin("postgres"), `CREATE ROLE bens_team ROLE ben`)
	mustExec(t, s.bens, `BEGIN; LOCK TABLE secrets`)
	ann := connect(t, s.ann)
	for what, test := range map[string]struct{ sql, want string }{
		"databases' names":             {`SELECT datname FROM pg_database WHERE datname = 'ben'`, "ben"},
		"roles' names":                 {`SELECT rolname FROM pg_roles WHERE rolname = 'ben'`, "ben"},
		"their comments":               {`SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'ben'`, "of Ben Ltd"},
		"their settings":               {`SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE rolname = 'ben'`, "{work_mem=7MB}"},
		"their sessions, by name":      {`SELECT application_name FROM pg_stat_activity WHERE usename = 'ben'`, "bens-session"},
		"but not what they do":         {`SELECT DISTINCT query FROM pg_stat_activity WHERE usename = 'ben'`, "<insufficient privilege>"},
		"or where they come from":      {`SELECT coalesce(client_addr::text, state, 'nothing') FROM pg_stat_activity WHERE usename = 'ben'`, "nothing"},
		"own statements":               {`SELECT (query LIKE '%pg_stat_activity%')::text FROM pg_stat_activity WHERE pid = pg_backend_pid()`, "true"},
		"who is a member of whom":      {`SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'ben'::regrole`, "bens_team"},
		"what they lock, by number":    {`SELECT DISTINCT mode FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE datname = 'ben' AND mode LIKE 'Access%'`, "AccessExclusiveLock"},
		"databases' numbers":           {`SELECT (xact_commit >= 0)::text FROM pg_stat_database WHERE datname = 'ben'`, "true"},
		"no table of another's":        {`SELECT count(*)::text FROM pg_class WHERE relname = 'secrets'`, "0"},
		"no password, not even hash's": {`SELECT rolpassword FROM pg_roles WHERE rolname = 'ben'`, "********"},
	} {
		var got string
		if err := ann.QueryRow(t.Context(), test.sql).Scan(&got); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v; want %q", what, got, err, test.want)
		}
	}
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestTenantSQLNeedsNoSuperuser runs the file as an admin of a managed database, who is not
// a superuser.
func TestTenantSQLNeedsNoSuperuser(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	for _, sql := range []string{
		`CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD 'm'`,
		`GRANT CONNECT ON DATABASE postgres TO manager`,
	} {
		mustQuery(t, s.admin("postgres"), sql)
	}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "psql", "--no-psqlrc", "--file=sql/tenant.sql",
			"--set=ON_ERROR_STOP=1", "--set=tenant=cyd", "--set=schema=hangfire", "--set=concurrency=20")
		cmd.Env = append(os.Environ(), "TENANT_PASSWORD=cyd's `word`", "PGHOST="+s.Listen[0], "PGPORT="+strconv.Itoa(s.Port),
			"PGUSER=manager", "PGPASSWORD=m", "PGDATABASE=postgres")
		if output, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(output), "WARNING") {
			t.Fatalf("%v: %s", err, output)
		}
	}
	cyd := s.URL("cyd", "cyd's `word`", "cyd")
	mustQuery(t, cyd, `CREATE TABLE hangfire.t (n int); CREATE TABLE public.t (n int)`)
	_, err := connect(t, cyd).Exec(t.Context(), `CREATE SCHEMA eve`)
	wantCode(t, err, insufficientPrivilege)
	if conn, err := pgx.Connect(t.Context(), s.URL("ann", annsPassword, "cyd")); err == nil {
		_ = conn.Close(t.Context())
		t.Error("ann can connect to cyd's database")
	}
}
