package examples_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// hangfireTables creates the tables that docs/from-hangfire.md queries, with the columns of
// Hangfire.PostgreSql.
const hangfireTables = `
CREATE TABLE hangfire.hash (id bigserial PRIMARY KEY, key text NOT NULL, field text NOT NULL, value text, expireat timestamptz, UNIQUE (key, field));
CREATE TABLE hangfire.job (id bigserial PRIMARY KEY, stateid bigint, statename text, invocationdata jsonb NOT NULL, arguments jsonb NOT NULL, createdat timestamptz NOT NULL, expireat timestamptz);
CREATE TABLE hangfire.set (id bigserial PRIMARY KEY, key text NOT NULL, score float8 NOT NULL, value text NOT NULL, expireat timestamptz, UNIQUE (key, value));
INSERT INTO hangfire.hash (key, field, value) VALUES ('recurring-job:daily-job', 'Cron', '0 2 * * *'), ('recurring-job:daily-job', 'TimeZoneId', 'UTC');
INSERT INTO hangfire.job (statename, invocationdata, arguments, createdat) VALUES ('Scheduled', '{"Type":"Reports","Method":"Usage"}', '[]', now());
INSERT INTO hangfire.set (key, score, value) VALUES ('schedule', 1800000000, '1');`

var sqlFence = regexp.MustCompile("(?s)\n```sql\n(.*?)\n```")

// TestHangfireQueries runs the queries of docs/from-hangfire.md on Hangfire's tables, and
// checks that no runner creates its ledger among them.
func TestHangfireQueries(t *testing.T) {
	t.Parallel()
	db := emptyTenant(t)
	db.exec(t, hangfireTables)
	page, err := os.ReadFile("../../../docs/from-hangfire.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := sqlFence.FindAllStringSubmatch(string(page), -1)
	if len(queries) != 4 {
		t.Errorf("the page has %d queries, want 4", len(queries))
	}
	for _, query := range queries {
		tag, err := db.pool.Exec(t.Context(), query[1])
		if err != nil || tag.RowsAffected() != 1 {
			t.Errorf("%s: %d rows, %v", query[1], tag.RowsAffected(), err)
		}
	}
	db.eventually(t, "daily-job", "SELECT substr(key, 15) FROM hangfire.hash LIMIT 1")
	db.start(t, attempt{command: contract.CommandMigrate}).wantError(contract.ExitPermanent, "spec.database.schema")
}
