package handlers

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openradius/workspace-jobs/runner"
)

func TestParseAge(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]age{
		"365d":    {days: 365},
		"12mo":    {months: 12},
		"1y6mo":   {months: 18},
		"2w3d":    {days: 17},
		"36h":     {seconds: 36 * 3600},
		"1h5m30s": {seconds: 3930},
	} {
		got, err := parseAge(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(age{})); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "365", "d", "-1d", "1.5d", "1d1y", "0d", "999999999999999999999d", "1d; DROP TABLE x", "P1Y", "1100y", "999y1000w"} {
		if got, err := parseAge(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestAgesFitPostgreSQL(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE old (at timestamptz)`)
	db.exec(t, `INSERT INTO old VALUES ('-infinity'), ('1000-01-01'), (now())`)
	for number, oldest := range []string{"1000y", "12000mo", "52000w", "100000d", "100000h"} {
		outcome := db.run(t, number+1, 1, Cleanup(), object{"table": "old", "column": "at", "olderThan": oldest, "dryRun": true})
		if !strings.Contains(string(outcome.Result), `"rows":2,`) {
			t.Errorf("%s: %+v", oldest, outcome)
		}
	}
}

// fill inserts 3000 rows, one for each hour back from now. A cleanup of rows older than
// 10 days should leave 240.
const fill = ` SELECT n, now() - n * interval '1 hour' + interval '1 minute', repeat('x', 100) FROM generate_series(1, 3000) n`

func TestCleanup(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string][]string{
		"no index":  {`CREATE TABLE old (id int, at timestamptz, data text)`},
		"index":     {`CREATE TABLE old (id int, at timestamptz, data text)`, `CREATE INDEX ON old (at)`},
		"timestamp": {`CREATE TABLE old (id int, at timestamp, data text)`, `SET TimeZone TO 'UTC'`},
		"partitions": {
			`CREATE TABLE old (id int, at timestamptz, data text) PARTITION BY RANGE (id)`,
			`CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM (0) TO (1000)`,
			`CREATE TABLE old_2 PARTITION OF old FOR VALUES FROM (1000) TO (2000)`,
			`CREATE INDEX ON old_2 (at)`,
			`CREATE TABLE old_3 PARTITION OF old DEFAULT`,
		},
		"children": {`CREATE TABLE old (id int, at timestamptz, data text)`, `CREATE TABLE child () INHERITS (old)`, `INSERT INTO child` + fill},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t)
			for _, sql := range setup {
				db.exec(t, sql)
			}
			db.exec(t, `INSERT INTO old`+fill)
			db.exec(t, `INSERT INTO old VALUES (0, NULL, 'no time')`)
			rows, left := "2760", "241"
			if name == "children" {
				rows, left = "5520", "481"
			}
			args := object{"table": "old", "column": "at", "olderThan": "10d", "batchSize": 700}

			dry := object{"dryRun": true}
			for key, value := range args {
				dry[key] = value
			}
			outcome := db.run(t, 1, 1, Cleanup(), dry)
			wantDone(t, outcome, "")
			if !strings.Contains(string(outcome.Result), `"rows":`+rows+`,"dryRun":true`) {
				t.Errorf("dry run: %s", outcome.Result)
			}
			outcome = db.pooled(t).run(t, 2, 1, Cleanup(), args)
			wantDone(t, outcome, "")
			if !strings.Contains(string(outcome.Result), `"rows":`+rows+`,"batches":`) {
				t.Errorf("result: %s", outcome.Result)
			}
			db.want(t, left, `SELECT count(*)::text FROM old`)
			db.want(t, "t", `SELECT (min(at) > now() - interval '10 days 1 hour')::text::char FROM old`)
		})
	}
}

func TestCleanupOfDates(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE old AS SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(0, 99) n`)
	wantDone(t, db.run(t, 1, 1, Cleanup(), object{"table": "public.old", "column": "day", "olderThan": "1w3d"}), "")
	db.want(t, "11", `SELECT count(*)::text FROM old`)
}

func TestCleanupOfAtMost(t *testing.T) {
	t.Parallel()
	for name, index := range map[string]string{"no index": ``, "index": `CREATE INDEX ON old (at)`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t)
			db.exec(t, `CREATE TABLE old (id int, at timestamptz, data text)`)
			db.exec(t, index)
			db.exec(t, `INSERT INTO old`+fill)
			outcome := db.run(t, 1, 1, Cleanup(), object{"table": "old", "column": "at", "olderThan": "10d", "batchSize": 400, "maxRows": 1000})
			wantDone(t, outcome, "")
			var result cleanupResult
			if err := json.Unmarshal(outcome.Result, &result); err != nil {
				t.Fatal(err)
			}
			if result.Rows != 1000 || !result.More || result.Table != "public.old" || time.Since(result.Cutoff) < 239*time.Hour {
				t.Errorf("result %s", outcome.Result)
			}
			db.want(t, "2000", `SELECT count(*)::text FROM old`)
		})
	}
}

// TestCleanupResumes fails in the middle: the next attempt should continue with the same
// cut-off.
func TestCleanupResumes(t *testing.T) {
	t.Parallel()
	for name, index := range map[string]string{"no index": ``, "index": `CREATE INDEX ON old (at)`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t)
			db.exec(t, `CREATE TABLE old (id int, at timestamptz, data text)`)
			db.exec(t, index)
			db.exec(t, `INSERT INTO old`+fill)
			db.exec(t, `CREATE TABLE held (n int)`)
			db.exec(t, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF old.id = 1500 AND NOT EXISTS (SELECT FROM held) THEN RAISE EXCEPTION 'not yet'; END IF; RETURN old; END $$`)
			db.exec(t, `CREATE TRIGGER hold BEFORE DELETE ON old FOR EACH ROW EXECUTE FUNCTION hold()`)
			args := object{"table": "old", "column": "at", "olderThan": "10d", "batchSize": 100}
			wantFailure(t, db.run(t, 1, 1, Cleanup(), args), runner.Failed, "not yet")
			db.want(t, "t", `SELECT (count(*) BETWEEN 300 AND 2900)::text::char FROM old`)
			db.exec(t, `INSERT INTO held VALUES (1)`)
			outcome := db.run(t, 1, 2, Cleanup(), args)
			wantDone(t, outcome, "")
			if !strings.Contains(string(outcome.Result), `"rows":2760,`) {
				t.Errorf("result %s", outcome.Result)
			}
			db.want(t, "240", `SELECT count(*)::text FROM old`)
		})
	}
}

func TestCleanupRefusals(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE radacct (id int PRIMARY KEY, acctstarttime timestamptz)`)
	db.exec(t, `INSERT INTO radacct SELECT n, now() - interval '1 year' FROM generate_series(1, 10) n`)
	db.exec(t, `CREATE VIEW seen AS SELECT * FROM radacct`)
	db.exec(t, `CREATE TABLE uses (id int REFERENCES radacct)`)
	db.exec(t, `INSERT INTO uses VALUES (5)`)
	db.exec(t, `CREATE TABLE kept (at timestamptz)`)
	db.exec(t, `CREATE INDEX ON kept (at)`)
	db.exec(t, `INSERT INTO kept SELECT now() - interval '1 year' FROM generate_series(1, 10)`)
	db.exec(t, `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
	db.exec(t, `CREATE TRIGGER keep BEFORE DELETE ON kept FOR EACH ROW EXECUTE FUNCTION keep()`)
	job := 0
	for name, test := range map[string]struct {
		args object
		kind runner.Kind
		text string
	}{
		"missing table":   {object{"table": "public.radact", "column": "at"}, runner.PermanentFailure, `table "public.radact" does not exist in this database`},
		"another schema":  {object{"table": "mine.radacct", "column": "at"}, runner.PermanentFailure, `table "mine.radacct" does not exist in this database`},
		"a table of SQL":  {object{"table": `radacct; DROP TABLE radacct; --`, "column": "at"}, runner.PermanentFailure, `does not exist in this database`},
		"a quoted table":  {object{"table": `radacct" WHERE true; --`, "column": "at"}, runner.PermanentFailure, `does not exist in this database`},
		"missing column":  {object{"table": "radacct", "column": "acctstoptime"}, runner.PermanentFailure, `table "public.radacct" has no column "acctstoptime"; it has acctstarttime, id`},
		"a column of SQL": {object{"table": "radacct", "column": `acctstarttime" < now() OR true; --`}, runner.PermanentFailure, `has no column`},
		"wrong type":      {object{"table": "radacct", "column": "id"}, runner.PermanentFailure, `column "id" of table "public.radacct" has the type integer; data-cleanup needs timestamptz, timestamp or date`},
		"a view":          {object{"table": "seen", "column": "acctstarttime"}, runner.PermanentFailure, `"seen" is a view or a foreign table`},
		"a foreign key":   {object{"table": "radacct", "column": "acctstarttime"}, runner.PermanentFailure, `violates foreign key constraint`},
		"a trigger":       {object{"table": "kept", "column": "at", "batchSize": 5}, runner.PermanentFailure, `a trigger keeps them`},
		"no table":        {object{"column": "at"}, runner.Refused, "table is missing"},
		"no age":          {object{"table": "t", "column": "at", "olderThan": "long ago"}, runner.Refused, `olderThan: "long ago" is not an age: write it as 365d`},
		"batch too large": {object{"table": "t", "column": "at", "batchSize": 100001}, runner.Refused, "batchSize is 100001; it must be from 1 to 100000"},
	} {
		job++
		number := job
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.args["olderThan"] == nil {
				test.args["olderThan"] = "30d"
			}
			wantFailure(t, db.run(t, number, 1, Cleanup(), test.args), test.kind, test.text)
		})
	}
	t.Cleanup(func() {
		var left int
		if err := db.pool.QueryRow(context.Background(), `SELECT count(*) FROM radacct`).Scan(&left); err != nil || left != 10 {
			t.Errorf("%d of 10 rows are left: %v", left, err)
		}
	})
}

// BenchmarkCleanup deletes two thirds of 300,000 rows, scattered over the table.
func BenchmarkCleanup(b *testing.B) {
	for name, index := range map[string]string{"no index": ``, "index": `CREATE INDEX ON old (at)`} {
		b.Run(name, func(b *testing.B) {
			db := newDB(b)
			job := 0
			for b.Loop() {
				b.StopTimer()
				job++
				db.exec(b, `DROP TABLE IF EXISTS old`)
				db.exec(b, `CREATE TABLE old (id int, at timestamptz, data text)`)
				db.exec(b, index)
				db.exec(b, `INSERT INTO old SELECT n, now() - (n::bigint * 7919 % 300000) * interval '1 minute', repeat('x', 100) FROM generate_series(1, 300000) n`)
				db.exec(b, `ANALYZE old`)
				b.StartTimer()
				outcome := db.run(b, job, 1, Cleanup(), object{"table": "old", "column": "at", "olderThan": "100000m"})
				wantDone(b, outcome, "")
			}
		})
	}
}
