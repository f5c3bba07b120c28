package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
)

// running is the one PostgreSQL of this package's tests, with a pooler in front.
var running postgres.Shared

func TestMain(m *testing.M) { os.Exit(running.Run(m)) }

// ways runs a test with a direct connection to its database and through PgBouncer.
func ways(t *testing.T, test func(t *testing.T, db testDB)) {
	t.Helper()
	for _, pooled := range []bool{false, true} {
		t.Run(map[bool]string{false: "direct", true: "PgBouncer"}[pooled], func(t *testing.T) {
			t.Parallel()
			test(t, newDatabase(t, pooled))
		})
	}
}

// testDB is a tenant's database of one test.
type testDB struct {
	url    string
	config *pgxpool.Config
}

func newDatabase(t *testing.T, pooled bool) testDB {
	t.Helper()
	url, err := running.Server(t).CreateTenant(t.Context(), "test_"+strings.ToLower(rand.Text()), "test password")
	if err != nil {
		t.Fatal(err)
	}
	if pooled {
		if url, err = running.Pooler(t).URL(url); err != nil {
			t.Fatal(err)
		}
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	return testDB{url: url, config: config}
}

// allowSchemas lets the role create schemas.
func (db testDB) allowSchemas(t *testing.T) {
	t.Helper()
	if err := running.Server(t).AllowSchemas(t.Context(), db.config.ConnConfig.User); err != nil {
		t.Fatal(err)
	}
}

func (db testDB) pool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), db.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// shortTiming returns the timing of a lease that a test can wait for.
func shortTiming() Timing {
	return Timing{Lease: 1500 * time.Millisecond, Heartbeat: 300 * time.Millisecond, Poll: 20 * time.Millisecond}
}

// longTiming returns a lease that does not run out while a test runs; see expire.
func longTiming() Timing {
	return Timing{Lease: time.Hour, Heartbeat: 300 * time.Millisecond, Poll: 20 * time.Millisecond}
}

// expire ends the lease with this token, as time does.
func (db testDB) expire(t *testing.T, token int) {
	t.Helper()
	db.exec(t, fmt.Sprintf(`UPDATE hangfire.runs SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE token = %d`, token))
}

// patience bounds every wait for what must happen.
const patience = 3 * time.Minute

// open migrates the database and opens its ledger.
func (db testDB) open(t *testing.T, timing Timing) *Ledger {
	t.Helper()
	if _, err := db.migrate(t, DefaultSchema); err != nil {
		t.Fatal(err)
	}
	return db.reopen(t, timing)
}

func (db testDB) reopen(t *testing.T, timing Timing) *Ledger {
	t.Helper()
	book, err := New(db.pool(t), DefaultSchema, timing, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return book
}

func (db testDB) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := db.pool(t).Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// text returns a query's one value.
func (db testDB) text(t *testing.T, sql string) string {
	t.Helper()
	var text string
	if err := db.pool(t).QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// claim returns a claim of a job's run.
func claim(job, run, attempt int) Claim {
	return Claim{
		JobID: fmt.Sprintf("00000000-0000-4000-8000-%012d", job), Run: run, Attempt: attempt,
		Name: "job", Workspace: "acme", Queue: "workspace_acme", Handler: "noop", Args: `{"b":1,"a":2}`,
	}
}

func mustAcquire(t *testing.T, book *Ledger, c Claim) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	claimed, err := book.Acquire(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if claimed.Lease == nil {
		t.Fatal("the run has already succeeded")
	}
	return claimed.Lease
}

// migrate calls Migrate with a new connection.
func (db testDB) migrate(t *testing.T, schema string) (int64, error) {
	conn, err := pgx.ConnectConfig(t.Context(), db.config.ConnConfig)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	return Migrate(t.Context(), conn, schema)
}
