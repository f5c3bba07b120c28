package ledger

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		for range 2 {
			version, err := db.migrate(t, DefaultSchema)
			if err != nil || version != 1 {
				t.Fatalf("version %d, %v", version, err)
			}
		}
		got := strings.Split(db.text(t, `SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
			WHERE relnamespace = 'hangfire'::regnamespace AND relkind = 'r'`), ",")
		want := append(tables(), versionTable)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got := db.text(t, `SELECT to_regclass('public.goose_db_version') IS NULL`); got != "t" {
			t.Error("the migration library left a table of its own")
		}
	})
}

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		db.allowSchemas(t)
		var group sync.WaitGroup
		for range 12 {
			group.Go(func() {
				if version, err := db.migrate(t, "workspace_jobs"); err != nil || version != 1 {
					t.Errorf("version %d, %v", version, err)
				}
			})
		}
		group.Wait()
	})
}

func TestMigrateStrangeSchema(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	db.allowSchemas(t)
	const schema = `We"ird; DROP TABLE x. Näme`
	for range 2 {
		if version, err := db.migrate(t, schema); err != nil || version != 1 {
			t.Fatalf("version %d, %v", version, err)
		}
	}
	for _, refused := range []string{"", "pg_mine", "information_schema", strings.Repeat("x", 64)} {
		if _, err := db.migrate(t, refused); err == nil {
			t.Errorf("schema %q was accepted", refused)
		}
	}
}

// hangfireTables returns the tables of Hangfire.PostgreSql 1.20.
func hangfireTables() []string {
	return []string{
		"aggregatedcounter", "counter", "hash", "job", "jobparameter", "jobqueue", "list", "lock", "schema", "server", "set", "state",
	}
}

func TestMigrateRefusesForeignSchema(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		setup []string
		want  string
	}{
		"Hangfire's": {
			setup: hangfireTables(),
			want:  `schema "hangfire" already holds Hangfire's own tables (aggregatedcounter, counter, hash, job, jobparameter, …): choose another with database.schema in the Workspace, e.g. workspace_jobs`,
		},
		"one ledger name":  {setup: []string{"runs"}, want: `already holds tables that are not the ledger's (runs): choose another`},
		"all ledger names": {setup: append(tables(), versionTable), want: `already holds tables that are not the ledger's (attempts, `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, false)
			for _, table := range test.setup {
				db.exec(t, `CREATE TABLE hangfire."`+table+`" (version bigint)`)
			}
			before := catalog(t, db)
			_, err := db.migrate(t, DefaultSchema)
			var foreign *ForeignError
			if !errors.As(err, &foreign) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v\nwant %s", err, test.want)
			}
			if after := catalog(t, db); after != before {
				t.Errorf("the schema was changed:\n%s\n%s", before, after)
			}
		})
	}
}

// catalog lists the relations of the schema.
func catalog(t *testing.T, db testDB) string {
	t.Helper()
	return db.text(t, `SELECT string_agg(concat_ws(' ', c.oid, relname, relkind, relnatts), ',' ORDER BY c.oid)
		FROM pg_class c WHERE relnamespace = 'hangfire'::regnamespace`)
}

func TestMigrateRefusesLaterGuests(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	db.open(t, shortTiming())
	db.exec(t, `CREATE TABLE hangfire.job (id int)`)
	_, err := db.migrate(t, DefaultSchema)
	var foreign *ForeignError
	if !errors.As(err, &foreign) {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"job"}, foreign.Relations); diff != "" {
		t.Error(diff)
	}
}

func TestNewerLedger(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	book := db.open(t, shortTiming())
	db.exec(t, `INSERT INTO hangfire.ledger_version (version) VALUES (999)`)
	db.exec(t, `CREATE TABLE hangfire.of_the_future (id int)`)
	if _, err := db.migrate(t, DefaultSchema); !errors.Is(err, ErrNewer) {
		t.Errorf("migrate: %v", err)
	}
	if _, err := book.Acquire(t.Context(), claim(1, 1, 1)); !errors.Is(err, ErrNewer) {
		t.Errorf("acquire: %v", err)
	}
}

func TestNotMigrated(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	elsewhere, err := New(db.pool(t), "elsewhere", shortTiming(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Acquire(t.Context(), claim(1, 1, 1)); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("no schema: %v", err)
	}
	if _, err := db.reopen(t, shortTiming()).Acquire(t.Context(), claim(1, 1, 1)); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("an empty schema: %v", err)
	}
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	book := db.open(t, Timing{})
	mustAcquire(t, book, claim(1, 1, 1))
	for name, sql := range map[string]string{
		"a lease after success":     `UPDATE hangfire.runs SET state = 'Succeeded', finished_at = now()`,
		"no lease while processing": `UPDATE hangfire.runs SET lease_expires_at = NULL`,
		"an unknown state":          `UPDATE hangfire.runs SET state = 'Done', lease_expires_at = NULL`,
		"a result without success":  `UPDATE hangfire.runs SET result = '{}'`,
		"a token of zero":           `UPDATE hangfire.runs SET token = 0`,
		"an outcome without an end": `UPDATE hangfire.attempts SET outcome = 'Failed', error = 'e'`,
		"an error of success":       `UPDATE hangfire.attempts SET outcome = 'Succeeded', finished_at = now(), error = 'e'`,
		"two open attempts":         `INSERT INTO hangfire.attempts (job_id, run, token, attempt) SELECT job_id, run, 9, 9 FROM hangfire.attempts`,
		"two runs at once":          `INSERT INTO hangfire.runs SELECT job_id, 2, state, attempt, token, lease_expires_at FROM hangfire.runs`,
		"arguments that are a list": `UPDATE hangfire.jobs SET args = '[]'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := db.pool(t).Exec(t.Context(), sql)
			if code := sqlState(err); code != "23514" && code != "23505" {
				t.Errorf("%s: %v", sql, err)
			}
		})
	}
}
