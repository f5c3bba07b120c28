package handlers

import (
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/runner"
)

func TestParsePeriod(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	// A Wednesday; in India already the next day, and the next month.
	now := time.Date(2026, 9, 30, 20, 45, 10, 5, time.UTC)
	for text, want := range map[string]string{
		"previous-hour":         "2026-10-01T01:00:00+05:30/2026-10-01T02:00:00+05:30",
		"previous-day":          "2026-09-30T00:00:00+05:30/2026-10-01T00:00:00+05:30",
		"previous-week":         "2026-09-21T00:00:00+05:30/2026-09-28T00:00:00+05:30",
		"previous-month":        "2026-09-01T00:00:00+05:30/2026-10-01T00:00:00+05:30",
		"previous-year":         "2025-01-01T00:00:00+05:30/2026-01-01T00:00:00+05:30",
		"2024":                  "2024-01-01T00:00:00+05:30/2025-01-01T00:00:00+05:30",
		"2024-02":               "2024-02-01T00:00:00+05:30/2024-03-01T00:00:00+05:30",
		"2024-02-29":            "2024-02-29T00:00:00+05:30/2024-03-01T00:00:00+05:30",
		"2026-10-01/2026-11-01": "2026-10-01T00:00:00+05:30/2026-11-01T00:00:00+05:30",
		"2026-10-01T00:00:00Z/2026-10-01T12:00:00Z": "2026-10-01T00:00:00Z/2026-10-01T12:00:00Z",
	} {
		got, err := parsePeriod(text, now, kolkata)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if shown := got.start.Format(time.RFC3339) + "/" + got.end.Format(time.RFC3339); shown != want {
			t.Errorf("%s: %s, want %s", text, shown, want)
		}
	}
	for _, text := range []string{"", "yesterday", "previous-century", "2026-13", "2026-02-30", "2026-11-01/2026-10-01", "2026-10-01/", "a/b", "0000", "0001-01-01"} {
		if got, err := parsePeriod(text, now, kolkata); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// TestDaysFollowEachOther uses time zones where clocks change at midnight, or where
// whole days were skipped.
func TestDaysFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"America/Sao_Paulo", "America/Havana", "America/St_Johns", "Asia/Amman", "Africa/Cairo", "Asia/Tehran", "Pacific/Apia", "Pacific/Kwajalein",
	} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for date := time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC); date.Year() < 2038; date = date.AddDate(0, 0, 1) {
			if span := days(date, date.AddDate(0, 0, 1), zone); span.end.After(span.start) {
				checkDay(t, date.Format(time.DateOnly), span, zone)
			}
		}
	}
}

// radacct is FreeRADIUS's accounting table for PostgreSQL, without columns that don't
// matter here.
const radacct = `CREATE TABLE radacct (
	radacctid bigserial PRIMARY KEY, acctsessionid text NOT NULL, acctuniqueid text NOT NULL UNIQUE, username text,
	nasipaddress inet NOT NULL, acctstarttime timestamptz, acctstoptime timestamptz,
	acctsessiontime bigint, acctinputoctets bigint, acctoutputoctets bigint)`

func newRadacct(t *testing.T) testDB {
	t.Helper()
	db := newDB(t)
	db.exec(t, radacct)
	db.exec(t, `INSERT INTO radacct (acctsessionid, acctuniqueid, username, nasipaddress, acctstarttime, acctsessiontime, acctinputoctets, acctoutputoctets) VALUES
		('1', '1', 'alice', '10.0.0.1', '2026-10-01 00:00:00Z', 60, 100, 3000000000),
		('2', '2', 'alice', '10.0.0.2', '2026-10-31 23:59:59Z', 60, 100, 3000000000),
		('3', '3', 'bob, "the" =1+1', '10.0.0.1', '2026-10-15 12:00:00Z', NULL, NULL, NULL),
		('4', '4', 'alice', '10.0.0.1', '2026-11-01 00:00:00Z', 1, 1, 1)`)
	return db
}

func TestReport(t *testing.T) {
	t.Parallel()
	db := newRadacct(t)
	args := object{"id": "usage", "query": "radacct-usage", "period": "2026-10"}
	for job := range 2 {
		wantDone(t, db.pooled(t).run(t, job, 1, Report(), args),
			`{"id":"usage","query":"radacct-usage","periodStart":"2026-10-01T00:00:00Z","periodEnd":"2026-11-01T00:00:00Z","rows":2,"csvBytes":102}`)
	}
	db.want(t, "1", `SELECT count(*)::text FROM hangfire.reports`)
	db.want(t, "username,sessions,octets_in,octets_out,seconds\nalice,2,200,6000000000,120\n\"bob, \"\"the\"\" =1+1\",1,0,0,0\n", `SELECT csv FROM hangfire.reports`)
	db.want(t, `[{"username":"alice","sessions":2,"octets_in":200,"octets_out":6000000000,"seconds":120},`+"\n"+
		`{"username":"bob, \"the\" =1+1","sessions":1,"octets_in":0,"octets_out":0,"seconds":0}]`, `SELECT json::text FROM hangfire.reports`)

	// The same report of a month whose data has changed replaces what there was.
	db.exec(t, `DELETE FROM radacct WHERE username <> 'alice'`)
	wantDone(t, db.run(t, 3, 1, Report(), args), "")
	db.want(t, "1", `SELECT row_count::text FROM hangfire.reports`)
	wantDone(t, db.run(t, 4, 1, Report(), object{"id": "radacct-usage-by-nas", "period": "2026-10"}), "")
	db.want(t, "nas,sessions,users,octets_in,octets_out,seconds\n10.0.0.1,1,1,100,3000000000,60\n10.0.0.2,1,1,100,3000000000,60\n",
		`SELECT csv FROM hangfire.reports WHERE id = 'radacct-usage-by-nas'`)
	db.want(t, "2", `SELECT count(*)::text FROM hangfire.reports`)
}

func TestReportOfOwnQuery(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `INSERT INTO hangfire.report_queries (name, query) VALUES
		('types', $$SELECT 1.50 AS n, 'NaN'::float8 AS nan, true AS yes, NULL AS nothing, '{"a":1}'::jsonb AS j, $1 AS starts, 'x<y' AS "t""x"$$),
		('radacct-usage', 'SELECT 7 AS own'),
		('nothing', 'SELECT 1 AS one, 2 AS two WHERE false')`)
	wantDone(t, db.run(t, 1, 1, Report(), object{"id": "types", "period": "2026-10-01", "timeZone": "Asia/Kolkata"}), "")
	db.want(t, `[{"n":1.50,"nan":"NaN","yes":true,"nothing":null,"j":{"a": 1},"starts":"2026-10-01 00:00:00+05:30","t\"x":"x\u003cy"}]`,
		`SELECT json::text FROM hangfire.reports`)
	wantDone(t, db.run(t, 2, 1, Report(), object{"id": "radacct-usage"}), "")
	db.want(t, "own\n7\n", `SELECT csv FROM hangfire.reports WHERE id = 'radacct-usage'`)
	wantDone(t, db.run(t, 3, 1, Report(), object{"id": "nothing"}), "")
	db.want(t, "one,two\n []", `SELECT csv || ' ' || json FROM hangfire.reports WHERE id = 'nothing'`)
}

func TestReportRefusals(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	db.exec(t, `CREATE TABLE t (n int)`)
	db.exec(t, `CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ INSERT INTO t VALUES (1) RETURNING n $$`)
	for name, query := range map[string]string{
		"deletes": `WITH gone AS (DELETE FROM t RETURNING n) SELECT * FROM gone`,
		"writes":  `SELECT writes()`,
		"unlocks": `SELECT set_config('transaction_read_only', 'off', true)`,
		"commits": `/* a */ COMMIT`,
		"two":     `SELECT 1; COMMIT`,
		"twins":   `SELECT 1 AS n, 2 AS n`,
		"broken":  `SELECT nope FROM t`,
		"long":    `SELECT generate_series(1, 50001) AS n`,
		"large":   `SELECT repeat('x', 1 << 20) AS x FROM generate_series(1, 20)`,
	} {
		if _, err := db.pool.Exec(t.Context(), `INSERT INTO hangfire.report_queries (name, query) VALUES ($1, $2)`, name, query); err != nil {
			t.Fatal(err)
		}
	}
	job := 0
	for name, test := range map[string]struct {
		args object
		kind runner.Kind
		text string
	}{
		"no such query":     {object{"id": "nope"}, runner.PermanentFailure, `there is no query "nope", only broken, commits, `},
		"a query that":      {object{"id": "deletes"}, runner.PermanentFailure, `query "deletes": cannot execute SELECT in a read-only transaction [25006]`},
		"a function that":   {object{"id": "writes"}, runner.PermanentFailure, `cannot execute INSERT in a read-only transaction`},
		"a query unlocking": {object{"id": "unlocks"}, runner.PermanentFailure, `cannot set transaction read-write mode inside a read-only transaction`},
		"a commit":          {object{"id": "commits"}, runner.PermanentFailure, `query "commits" is not a query`},
		"two statements":    {object{"id": "two"}, runner.PermanentFailure, `cannot insert multiple commands`},
		"twin columns":      {object{"id": "twins"}, runner.PermanentFailure, `two columns are named "n"`},
		"a broken query":    {object{"id": "broken"}, runner.PermanentFailure, `column "nope" does not exist`},
		"too many rows":     {object{"id": "long"}, runner.PermanentFailure, `the report is too large: at most 50000 rows and 16 MiB fit`},
		"too many bytes":    {object{"id": "large"}, runner.PermanentFailure, `the report is too large`},
		"no id":             {object{}, runner.Refused, `id is missing`},
		"no period":         {object{"id": "x", "period": "soon"}, runner.Refused, `"soon" is not a period`},
		"no zone":           {object{"id": "x", "timeZone": "Mars/Olympus"}, runner.Refused, `timeZone "Mars/Olympus" is unknown`},
	} {
		job++
		number := job
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFailure(t, db.run(t, number, 1, Report(), test.args), test.kind, test.text)
			db.want(t, "0", `SELECT (SELECT count(*) FROM hangfire.reports)::text`)
			db.want(t, "0", `SELECT count(*)::text FROM t`)
		})
	}
}
