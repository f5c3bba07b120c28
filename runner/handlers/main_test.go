package handlers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/runner"
)

// running is the one PostgreSQL of this package's tests, with a pooler in front.
var running postgres.Shared

func TestMain(m *testing.M) { os.Exit(running.Run(m)) }

// testDB is a workspace's database of one test, with a ledger.
type testDB struct {
	url  string
	pool *pgxpool.Pool
}

func newDB(t testing.TB) testDB {
	t.Helper()
	url, err := running.Server(t).CreateTenant(t.Context(), "test_"+strings.ToLower(rand.Text()), "a test's password")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if outcome := runner.Migrate(t.Context(), runner.Description{DatabaseURL: url}); outcome.Kind != runner.Done {
		t.Fatalf("migrate: %+v", outcome)
	}
	return testDB{url: url, pool: pool}
}

// pooled returns the same database through PgBouncer.
func (db testDB) pooled(t *testing.T) testDB {
	t.Helper()
	url, err := running.Pooler(t).URL(db.url)
	if err != nil {
		t.Fatal(err)
	}
	return testDB{url: url, pool: db.pool}
}

func (db testDB) exec(t testing.TB, sql string) {
	t.Helper()
	if _, err := db.pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (db testDB) want(t testing.TB, want, sql string) {
	t.Helper()
	var got string
	if err := db.pool.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if got != want {
		t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// run makes an attempt at run 1 of a job. Each job number is another job.
func (db testDB) run(t testing.TB, job, attempt int, handler runner.Handler, args any) runner.Outcome {
	t.Helper()
	encoded, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return runner.Run(ctx, runner.Config{Handlers: []runner.Handler{handler}, Logger: log}, runner.Description{
		JobID: fmt.Sprintf("00000000-0000-4000-8000-%012d", job), Name: "job", Run: 1, Attempt: attempt,
		Workspace: "acme", Queue: "workspace_acme", Handler: handler.Name(), Args: encoded, DatabaseURL: db.url,
	})
}

func wantDone(t testing.TB, outcome runner.Outcome, result string) {
	t.Helper()
	if outcome.Kind != runner.Done {
		t.Fatalf("outcome %d: %s", outcome.Kind, outcome.Error)
	}
	if result != "" && string(outcome.Result) != result {
		t.Errorf("result\n%s\nwant\n%s", outcome.Result, result)
	}
}

func wantFailure(t testing.TB, outcome runner.Outcome, kind runner.Kind, text string) {
	t.Helper()
	if outcome.Kind != kind || !strings.Contains(outcome.Error, text) {
		t.Errorf("outcome %d: %s\nwant    %d: %s", outcome.Kind, outcome.Error, kind, text)
	}
}

type object = map[string]any
