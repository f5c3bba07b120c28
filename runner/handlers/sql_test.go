package handlers

import (
	"testing"

	"github.com/openradius/workspace-jobs/runner"
)

func TestSQL(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE t (n int)`)
	statements := []string{`INSERT INTO t SELECT generate_series(1, 5)`, `UPDATE t SET n = n + 1 WHERE n > 3`, `SELECT * FROM t`, `CREATE TABLE u ()`}
	const want = `{"statements":4,"rows":12,"each":[5,2,5,0]}`
	wantDone(t, db.pooled(t).run(t, 1, 1, SQL(), object{"statements": statements}), want)
	wantDone(t, db.run(t, 1, 2, SQL(), object{"statements": statements}), want)
	db.want(t, "5", `SELECT count(*)::text FROM t`)
}

func TestSQLOneTransaction(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE t (n int UNIQUE)`)
	statements := []string{`INSERT INTO t VALUES (1)`, `INSERT INTO t VALUES (1)`}
	wantFailure(t, db.run(t, 1, 1, SQL(), object{"statements": statements}), runner.Failed,
		`statement 2: duplicate key value violates unique constraint "t_n_key" (Key (n)=(1) already exists.) [23505]`)
	db.want(t, "0", `SELECT count(*)::text FROM t`)
}

// TestSQLFailsTwice runs the demonstration of retries, which fails twice and then
// succeeds. A sequence counts the attempts, since a rollback does not reset it.
func TestSQLFailsTwice(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	args := object{
		"transaction": "each",
		"statements": []string{
			`DROP SEQUENCE IF EXISTS demo_flaky`,
			`CREATE SEQUENCE demo_flaky`,
			`DO $$ BEGIN IF nextval('demo_flaky') < 3 THEN RAISE EXCEPTION 'the upstream said no'; END IF; END $$`,
		},
	}
	for attempt := 1; attempt <= 2; attempt++ {
		wantFailure(t, db.pooled(t).run(t, 1, attempt, SQL(), args), runner.Failed, `statement 3: the upstream said no [P0001]`)
	}
	wantDone(t, db.run(t, 1, 3, SQL(), args), `{"statements":3,"rows":0,"each":[0,0,0]}`)
}

func TestSQLResumesAfterTheLastCommitted(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE t (n int)`)
	args := object{"transaction": "each", "statements": []string{
		`INSERT INTO t VALUES (1)`, `INSERT INTO t SELECT 2 / (SELECT count(*) FROM gate)`, `INSERT INTO t VALUES (3)`,
	}}
	db.exec(t, `CREATE TABLE gate (n int)`)
	wantFailure(t, db.run(t, 1, 1, SQL(), args), runner.Failed, "statement 2: division by zero")
	db.exec(t, `INSERT INTO gate VALUES (1)`)
	wantDone(t, db.run(t, 1, 2, SQL(), args), `{"statements":3,"rows":3,"each":[1,1,1]}`)
	db.want(t, "1,2,3", `SELECT string_agg(n::text, ',' ORDER BY n) FROM t`)
}

func TestSQLRefusals(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE t (n int)`)
	db.exec(t, `CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$`)
	job := 0
	for name, test := range map[string]struct {
		args object
		kind runner.Kind
		text string
	}{
		"none":             {object{}, runner.Refused, "statements is empty"},
		"an empty one":     {object{"statements": []string{" -- nothing\n"}}, runner.Refused, "statement 1 is empty"},
		"commit":           {object{"statements": []string{"SELECT 1", "/* x */ commit"}}, runner.Refused, "statement 2 begins with COMMIT"},
		"bad mode":         {object{"statements": []string{"SELECT 1"}, "transaction": "two"}, runner.Refused, `transaction is "two"; it must be "one" or "each"`},
		"syntax":           {object{"statements": []string{"SELEC 1"}}, runner.PermanentFailure, `statement 1: syntax error at or near "SELEC" [42601]`},
		"missing table":    {object{"statements": []string{"SELECT * FROM nope"}}, runner.PermanentFailure, `relation "nope" does not exist [42P01]`},
		"two in one":       {object{"statements": []string{"DELETE FROM t; COMMIT"}}, runner.PermanentFailure, "cannot insert multiple commands"},
		"vacuum":           {object{"statements": []string{"VACUUM"}, "transaction": "each"}, runner.PermanentFailure, "VACUUM cannot run inside a transaction block"},
		"a procedure":      {object{"statements": []string{"CALL ends()"}}, runner.Failed, "invalid transaction termination"},
		"prepared commit":  {object{"statements": []string{"PREPARE TRANSACTION 'x'"}}, runner.Refused, "begins with PREPARE"},
		"not as superuser": {object{"statements": []string{"SELECT pg_read_file('/etc/passwd')"}}, runner.PermanentFailure, "permission denied"},
	} {
		job++
		number := job
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFailure(t, db.run(t, number, 1, SQL(), test.args), test.kind, test.text)
		})
	}
}

func TestFirstWord(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"select 1":                  "SELECT",
		"  -- a\n /* b */\n Commit": "COMMIT",
		"/* a */ /* b */":           "",
		"-- nothing":                "",
		";COMMIT":                   "COMMIT",
		"(SELECT 1)":                "(",
		"":                          "",
		"/* a /* nested */ */ end":  "END",
		"/* without an end commit":  "",
		"commit_log":                "COMMIT_LOG",
		"-- a\rCOMMIT --\nSELECT 1": "COMMIT",
	} {
		if got := firstWord(statement); got != want {
			t.Errorf("%q: %q, want %q", statement, got, want)
		}
	}
}
