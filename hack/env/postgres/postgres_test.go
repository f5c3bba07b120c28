package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/hack/env/quick"
)

func TestStart(t *testing.T) {
	t.Parallel()
	quick.LeaveOut(t, "PostgreSQL")
	ctx := t.Context()
	server, err := postgres.Start(ctx, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(server.Dir); !os.IsNotExist(err) {
			t.Errorf("the folder still exists: %v", err)
		}
	})

	alice, err := server.CreateTenant(ctx, "alice", `pass'word/?#"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.CreateTenant(ctx, "bob", "other"); err != nil {
		t.Fatal(err)
	}
	mustQuery(t, alice, "CREATE TABLE hangfire.t (n int)")
	mustQuery(t, alice, "CREATE TABLE in_public (n int)")
	if _, err := server.CreateTenant(ctx, "alice", "another word"); err != nil {
		t.Fatalf("create the tenant again: %v", err)
	}
	alice = server.URL("alice", "another word", "alice")
	mustQuery(t, alice, "SELECT n FROM in_public")

	pooler, err := server.StartPgBouncer(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pooler.Stop(); err != nil {
			t.Error(err)
		}
	})
	through, err := pooler.URL(alice)
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, through, "SELECT n FROM in_public")
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	quick.LeaveOut(t, "PostgreSQL")
	ctx := t.Context()
	dir, err := os.MkdirTemp("", "up-and-down-") // t.TempDir lets no other user through
	if err != nil {
		t.Fatal(err)
	}
	options := postgres.Options{Dir: filepath.Join(dir, "server"), Allow: []string{"10.244.0.0/16"}}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Down(context.Background(), options.Dir); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	first, err := postgres.Up(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, first.AdminURL(), "CREATE TABLE kept (n int)")
	if _, err := postgres.Up(ctx, options); err != nil {
		t.Fatalf("up again: %v", err)
	}
	if err := postgres.Down(ctx, options.Dir); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(ctx, first.AdminURL()); err == nil {
		conn.Close(ctx)
		t.Fatal("the server still answers after down")
	}
	again, err := postgres.Up(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	mustQuery(t, again.AdminURL(), "SELECT n FROM kept")
}

func mustQuery(t *testing.T, url, sql string) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
