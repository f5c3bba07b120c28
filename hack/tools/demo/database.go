package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
)

// sessions is how many accounting records each tenant has.
const sessions = 240_000

var (
	//go:embed sql/radacct.sql
	tablesSQL string
	//go:embed sql/sessions.sql
	sessionsSQL string
	//go:embed sql/snapshot.sql
	snapshotSQL string
	//go:embed sql/show.sql
	showSQL string
)

// snapshot is what the demo compares of a tenant's accounting table.
type snapshot struct {
	sessions, old, open int64
	checksum            string // of all rows with all columns
}

func (s snapshot) String() string {
	return fmt.Sprintf("%7d sessions, %6d ended over a year ago, %4d open, checksum …%s",
		s.sessions, s.old, s.open, s.checksum[max(0, len(s.checksum)-8):])
}

// startDatabases makes a new PostgreSQL server, so that each demo begins the same.
func (d *demo) startDatabases(ctx context.Context) error {
	if err := stopDatabases(ctx); err != nil {
		return err
	}
	server, err := postgres.Up(ctx, postgres.Options{
		Dir:    databaseDir,
		Listen: []string{d.overlay.Host},
		// These are the addresses of the node and of its pods.
		Allow: []string{"198.18.0.0/15", "10.244.0.0/16"},
	})
	if err != nil {
		return err
	}
	fmt.Printf("   It listens on %s, port %d. Each tenant gets FreeRADIUS's table radacct with about %d sessions of the last 18 months.\n",
		d.overlay.Host, server.Port, sessions)
	d.overlay.Port, d.urls = server.Port, map[string]string{}
	filling, fillCtx := errgroup.WithContext(ctx)
	for _, tenant := range tenants {
		url, err := server.CreateTenant(ctx, tenant, rand.Text())
		if err != nil {
			return err
		}
		d.urls[tenant] = url
		filling.Go(func() error { return fill(fillCtx, url, tenant) })
	}
	if err := filling.Wait(); err != nil {
		return err
	}
	if d.before, err = d.snapshots(ctx); err != nil {
		return err
	}
	for _, tenant := range tenants {
		fmt.Printf("   %-7s %s\n", tenant, d.before[tenant])
	}
	return nil
}

func stopDatabases(ctx context.Context) error {
	if _, err := os.Stat(databaseDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(postgres.Down(ctx, databaseDir), os.RemoveAll(databaseDir))
}

func fill(ctx context.Context, url, tenant string) error {
	return with(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, tablesSQL); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, sessionsSQL, sessions, tenant); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "ANALYZE")
		return err
	})
}

// with calls a function with a connection to a tenant's database, as the tenant's own role.
func with(ctx context.Context, url string, use func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(use(conn), conn.Close(ctx))
}

func (d *demo) snapshots(ctx context.Context) (map[string]snapshot, error) {
	all := map[string]snapshot{}
	for _, tenant := range tenants {
		var s snapshot
		err := with(ctx, d.urls[tenant], func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, snapshotSQL).Scan(&s.sessions, &s.old, &s.open, &s.checksum)
		})
		if err != nil {
			return nil, err
		}
		all[tenant] = s
	}
	return all, nil
}

// showDatabases shows what the jobs did, and fails if they did anything else.
func (d *demo) showDatabases(ctx context.Context) error {
	after, err := d.snapshots(ctx)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		fmt.Printf("   %-7s before: %s\n   %-7s after:  %s\n", tenant, d.before[tenant], "", after[tenant])
	}
	for _, tenant := range tenants {
		fmt.Printf("\n   %s, by psql:\n", tenant)
		if err := psql(ctx, d.urls[tenant], showSQL); err != nil {
			return err
		}
	}
	return compare(d.before, after)
}

// psql gets the password in its environment, since every process can see arguments.
func psql(ctx context.Context, url, sql string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--pset=footer=off", "--file=-")
	command.Env = append(os.Environ(), "PGHOST="+config.Host, "PGPORT="+strconv.Itoa(int(config.Port)),
		"PGUSER="+config.User, "PGPASSWORD="+config.Password, "PGDATABASE="+config.Database)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(sql), os.Stdout, os.Stderr
	return command.Run()
}

// compare fails unless acme's old sessions are gone, and no other session of either.
func compare(before, after map[string]snapshot) error {
	acme, now := before["acme"], after["acme"]
	switch {
	case acme.old == 0 || now.old != 0:
		return fmt.Errorf("acme had %d old sessions and has %d", acme.old, now.old)
	case now.sessions != acme.sessions-acme.old:
		return fmt.Errorf("acme should have kept %d sessions and has %d", acme.sessions-acme.old, now.sessions)
	case before["globex"] != after["globex"]:
		return fmt.Errorf("globex's sessions have changed from %s to %s", before["globex"], after["globex"])
	}
	return nil
}
