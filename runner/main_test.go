package runner_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/hack/env/ports"
	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// asRunner in the environment makes the test binary a runner image.
const asRunner = "WORKSPACE_JOBS_TEST_RUNNER"

// asPatient in a runner's environment gives it a lease that it keeps on a machine that
// stalls: nobody takes over unless the test expires it.
const asPatient = "WORKSPACE_JOBS_TEST_PATIENT"

func patient() map[string]string { return map[string]string{asPatient: "1"} }

const (
	// testLease is a lease that a test can wait for.
	testLease = 4 * time.Second
	// testGrace is how long to wait for a handler that ignores its context.
	testGrace = 300 * time.Millisecond
	// patience bounds every wait of a test.
	patience = 3 * time.Minute
)

// running is the one PostgreSQL of this package's tests, with a pooler in front.
var running = postgres.Shared{Options: postgres.Options{TLS: true, Listen: []string{ports.Host(), ports.OtherHost()}}, PoolSize: 20}

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		timing := ledger.Timing{Lease: testLease, Heartbeat: testLease / 5, Poll: 20 * time.Millisecond}
		if os.Getenv(asPatient) != "" {
			timing.Lease = time.Hour
		}
		runner.MainWith(timing, testGrace, testHandlers()...)
	}
	flag.Parse()
	// These tests wait for processes far more than they compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(running.Run(m))
}

// testPassword is the password in every test's URL. It must not appear anywhere else.
const testPassword = `hunter2/"tricky"&<word>`

// testDB is a workspace's database of one test.
type testDB struct {
	url  string
	pool *pgxpool.Pool
}

// ways runs a test with a direct connection to its database and through PgBouncer.
func ways(t *testing.T, test func(t *testing.T, db testDB)) {
	t.Helper()
	for _, pooled := range []bool{false, true} {
		t.Run(map[bool]string{false: "direct", true: "PgBouncer"}[pooled], func(t *testing.T) {
			t.Parallel()
			test(t, newDB(t, pooled))
		})
	}
}

// newDB creates a database with a ledger and the tables of the test handlers.
func newDB(t *testing.T, pooled bool) testDB {
	t.Helper()
	db := emptyDB(t, pooled)
	outcome := runner.Migrate(t.Context(), runner.Description{DatabaseURL: db.url})
	if outcome.Kind != runner.Done {
		t.Fatalf("migrate: %+v", outcome)
	}
	for _, sql := range []string{
		`CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, job text NOT NULL, batch int NOT NULL)`,
		`CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)`,
		`INSERT INTO accounts VALUES (1, 0)`,
	} {
		db.exec(t, sql)
	}
	return db
}

func emptyDB(t *testing.T, pooled bool) testDB {
	t.Helper()
	url, err := running.Server(t).CreateTenant(t.Context(), "test_"+strings.ToLower(rand.Text()), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if pooled {
		if url, err = running.Pooler(t).URL(url); err != nil {
			t.Fatal(err)
		}
	}
	return testDB{url: url, pool: pool}
}

func (db testDB) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := db.pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// text returns a query's one value.
func (db testDB) text(t *testing.T, sql string) string {
	t.Helper()
	var text string
	if err := db.pool.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func (db testDB) want(t *testing.T, want, sql string) {
	t.Helper()
	if got := db.text(t, sql); got != want {
		t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// eventually waits until a query's one value is want.
func (db testDB) eventually(t *testing.T, want, sql string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := db.text(t, sql)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %s, want %s", sql, got, want)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// countJobs returns the number of jobs in the ledger. It works after a test's context
// has ended.
func (db testDB) countJobs() int {
	var count int
	if err := db.pool.QueryRow(context.Background(), `SELECT count(*) FROM hangfire.jobs`).Scan(&count); err != nil {
		return -1
	}
	return count
}

// adminDB returns a database with the superuser's connection.
func adminDB(t *testing.T, name string) testDB {
	t.Helper()
	server := running.Server(t)
	pool, err := pgxpool.New(t.Context(), server.URL("postgres", server.AdminPassword, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return testDB{pool: pool}
}
