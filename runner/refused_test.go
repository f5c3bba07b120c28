package runner_test

import (
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	db := newDB(t, false)
	host := strings.TrimPrefix(running.Server(t).URL("", "", ""), "postgres://:@")
	host, _, _ = strings.Cut(host, "/")
	for name, test := range map[string]struct {
		attempt attempt
		code    int
		error   string
	}{
		"unknown handler": {
			attempt{handler: "nope"}, contract.ExitUsage,
			`this image does not have the job's handler; it has batches, blind, commits, commits-politely, deaf, deaf-tx, effect, `,
		},
		// That the error and the log don't show it is checked for all processes.
		"a Secret as its handler": {attempt{handler: "hunter2"}, contract.ExitUsage, `does not have the job's handler`},
		"unknown argument": {
			attempt{handler: "effect", args: map[string]int{"gaet": 1}}, contract.ExitUsage,
			`the arguments don't fit the handler "effect": unknown field "gaet"; it takes gate, at, batches, pause`,
		},
		"wrong type": {
			attempt{handler: "effect", args: map[string]string{"at": "x"}}, contract.ExitUsage,
			`at must be a whole number, not a string`,
		},
		"too large": {
			attempt{handler: "effect", args: map[string]string{"gate": strings.Repeat("x", contract.MaxArgs)}}, contract.ExitUsage,
			`at most 65536 are allowed`,
		},
		"no database URL": {
			attempt{handler: "effect", env: map[string]string{contract.EnvDatabaseURL: ""}}, contract.ExitUsage,
			`DATABASE_URL is not set`,
		},
		"bad database URL": {
			attempt{handler: "effect", env: map[string]string{contract.EnvDatabaseURL: "postgres://role:" + testPassword + "@host/db"}}, contract.ExitUsage,
			`DATABASE_URL is not a PostgreSQL URL: the Secret's value should look like postgres://role:password@host:5432/database?sslmode=verify-full`,
		},
		"nobody listens": {
			attempt{handler: "effect", env: map[string]string{contract.EnvDatabaseURL: "postgres://role:hunter2@127.0.0.1:1/db"}}, contract.ExitFailed,
			`cannot connect to PostgreSQL at 127.0.0.1:1 as role "role", database "db": connect: connection refused`,
		},
		"wrong password": {
			attempt{handler: "effect", env: map[string]string{contract.EnvDatabaseURL: "postgres://postgres:hunter2@" + host + "/postgres?sslmode=disable"}}, contract.ExitFailed,
			`as role "postgres", database "postgres": password authentication failed for user "postgres" (28P01)`,
		},
		"no such host": {
			attempt{handler: "effect", env: map[string]string{contract.EnvDatabaseURL: "postgres://role:hunter2@db.invalid/db"}}, contract.ExitFailed,
			`cannot connect to PostgreSQL at db.invalid:5432 as role "role", database "db": lookup db.invalid`,
		},
		"bad schema":  {attempt{handler: "effect", env: map[string]string{contract.EnvLedgerSchema: "pg_x"}}, contract.ExitUsage, `PostgreSQL's own`},
		"no ledger":   {attempt{handler: "effect", env: map[string]string{contract.EnvLedgerSchema: "elsewhere"}}, contract.ExitFailed, `run the command "migrate" first`},
		"no job ID":   {attempt{handler: "effect", env: map[string]string{contract.EnvJobID: "7"}}, contract.ExitUsage, `JOB_ID is not a UUID`},
		"run zero":    {attempt{handler: "effect", env: map[string]string{contract.EnvRun: "0"}}, contract.ExitUsage, `JOB_RUN is not a whole number of at least 1`},
		"bad timeout": {attempt{handler: "effect", env: map[string]string{contract.EnvTimeout: "soon"}}, contract.ExitUsage, `JOB_TIMEOUT is not a duration above 0`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := db.start(t, test.attempt)
			p.wantExit(test.code)
			if got := p.answer().Error; !strings.Contains(got, test.error) {
				t.Errorf("error  %s\nwanted %s", got, test.error)
			}
		})
	}
	t.Cleanup(func() {
		if count := db.countJobs(); count != 0 {
			t.Errorf("the ledger has %d jobs, want none", count)
		}
	})
}

func TestMigrateProcess(t *testing.T) {
	t.Parallel()
	db := emptyDB(t, true)
	p := db.start(t, attempt{command: contract.CommandMigrate})
	p.wantExit(contract.ExitDone)
	if got := string(p.answer().Result); got != `{"schemaVersion":1}` {
		t.Errorf("result %s", got)
	}
	if err := running.Server(t).AllowSchemas(t.Context(), db.text(t, `SELECT current_user`)); err != nil {
		t.Fatal(err)
	}
	db.exec(t, `CREATE SCHEMA occupied CREATE TABLE job (id int) CREATE TABLE jobqueue (id int)`)
	refused := db.start(t, attempt{command: contract.CommandMigrate, env: map[string]string{contract.EnvLedgerSchema: "occupied"}})
	refused.wantExit(contract.ExitPermanent)
	if got := refused.answer().Error; !strings.HasPrefix(got, `schema "occupied" already holds Hangfire's own tables (job, jobqueue)`) {
		t.Errorf("error %s", got)
	}
	db.exec(t, `INSERT INTO hangfire.ledger_version (version) VALUES (999)`)
	newer := db.start(t, attempt{command: contract.CommandMigrate})
	newer.wantExit(contract.ExitPermanent)
	if got := newer.answer().Error; !strings.Contains(got, "update the Workspace's runner image") {
		t.Errorf("error %s", got)
	}
	late := db.start(t, attempt{handler: "effect"})
	late.wantExit(contract.ExitFailed) // the next attempt may have a newer image
}

func TestMigrateWithoutPrivilege(t *testing.T) {
	t.Parallel()
	db := emptyDB(t, false)
	admin := adminDB(t, db.text(t, `SELECT current_database()`))
	admin.exec(t, `CREATE SCHEMA closed`)
	for _, schema := range []string{"closed", "missing"} {
		p := db.start(t, attempt{command: contract.CommandMigrate, env: map[string]string{contract.EnvLedgerSchema: schema}})
		p.wantExit(contract.ExitFailed)
		if got := p.answer().Error; !strings.Contains(got, `may not create the ledger in schema "`+schema+`": `) || !strings.Contains(got, "docs/database.md") {
			t.Errorf("error %s", got)
		}
	}
}

func TestOtherCommands(t *testing.T) {
	t.Parallel()
	db := emptyDB(t, false)
	for command, test := range map[string]struct {
		code int
		says string
	}{
		"handlers":  {contract.ExitDone, "batches\tgate at batches pause\n"},
		"--help":    {contract.ExitDone, "handlers   list the handlers"},
		"--version": {contract.ExitDone, "workspace-jobs"},
		"runn":      {contract.ExitUsage, `unknown argument "runn"`},
	} {
		p := db.start(t, attempt{command: command})
		p.wantExit(test.code)
		p.waitFor(test.says)
	}
}
