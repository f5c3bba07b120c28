package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
)

// sessionsEach is how many accounting records each tenant has.
const sessionsEach = 240_000

var (
	//go:embed sql/radacct.sql
	tablesSQL string
	//go:embed sql/sessions.sql
	sessionsSQL string
	//go:embed sql/snapshot.sql
	snapshotSQL string
)

// snapshot is the part of a tenant's accounting table that the demo compares.
type snapshot struct {
	sessions, old, open int64
	checksum            string // of all rows with all columns
}

func (s snapshot) String() string {
	return fmt.Sprintf("%7d sessions, %6d ended over a year ago, %4d open, checksum …%s",
		s.sessions, s.old, s.open, s.checksum[max(0, len(s.checksum)-8):])
}

// startDatabases recreates the PostgreSQL server, so that every run starts from the same state.
func (d *demo) startDatabases(ctx context.Context) error {
	d.title("One PostgreSQL server, a database and a role for each tenant")
	if err := stopDatabase(ctx); err != nil {
		return err
	}
	server, err := postgres.Up(ctx, postgres.Options{
		Dir:    databaseDir,
		Listen: []string{d.host},
		// The addresses of the node and of its pods.
		Allow: []string{"198.18.0.0/15", "10.244.0.0/16"},
	})
	if err != nil {
		return err
	}
	d.port = server.Port
	d.urls = map[string]string{}
	for _, tenant := range tenants {
		if d.urls[tenant], err = server.CreateTenant(ctx, tenant, rand.Text()); err != nil {
			return err
		}
	}
	d.say("it listens on %s, port %d", d.host, d.port)
	if err := d.proveApart(ctx); err != nil {
		return err
	}
	d.say("Each gets FreeRADIUS's table radacct with about %d sessions of the last 18 months.", sessionsEach)
	if err := d.fill(ctx); err != nil {
		return err
	}
	if d.before, err = d.snapshots(ctx); err != nil {
		return err
	}
	for _, tenant := range tenants {
		d.say("%-7s %s", tenant, d.before[tenant])
	}
	return nil
}

func stopDatabase(ctx context.Context) error {
	if _, err := os.Stat(databaseDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(postgres.Down(ctx, databaseDir), os.RemoveAll(databaseDir))
}

// proveApart fails if a tenant's role can connect to another tenant's database.
func (d *demo) proveApart(ctx context.Context) error {
	for _, tenant := range tenants {
		for _, other := range tenants {
			if other == tenant {
				continue
			}
			u, err := url.Parse(d.urls[tenant])
			if err != nil {
				return err
			}
			u.Path = "/" + other
			conn, err := pgx.Connect(ctx, u.String())
			if err == nil {
				return errors.Join(fmt.Errorf("the role %s can connect to the database %s", tenant, other), conn.Close(ctx))
			}
			refusal, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || refusal.Code != "42501" { // insufficient_privilege
				return fmt.Errorf("%s into %s: %w", tenant, other, err)
			}
			d.say("the role %s into the database %s: %s", tenant, other, refusal.Message)
		}
	}
	return nil
}

// fill writes the sessions of all tenants concurrently.
func (d *demo) fill(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, tenant := range tenants {
		work.Go(func() error {
			return d.with(ctx, tenant, func(conn *pgx.Conn) error {
				if _, err := conn.Exec(ctx, tablesSQL); err != nil {
					return err
				}
				if _, err := conn.Exec(ctx, sessionsSQL, sessionsEach, tenant); err != nil {
					return err
				}
				_, err := conn.Exec(ctx, "ANALYZE")
				return err
			})
		})
	}
	return work.Wait()
}

func (d *demo) snapshots(ctx context.Context) (map[string]snapshot, error) {
	all := map[string]snapshot{}
	for _, tenant := range tenants {
		var s snapshot
		err := d.with(ctx, tenant, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, snapshotSQL).Scan(&s.sessions, &s.old, &s.open, &s.checksum)
		})
		if err != nil {
			return nil, err
		}
		all[tenant] = s
	}
	return all, nil
}

// with calls a function with a connection to the tenant's database, as the tenant's own role.
func (d *demo) with(ctx context.Context, tenant string, use func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, d.urls[tenant])
	if err != nil {
		return err
	}
	if err := errors.Join(use(conn), conn.Close(ctx)); err != nil {
		return fmt.Errorf("%s's database: %w", tenant, err)
	}
	return nil
}

// table prints a query's rows in columns.
func (d *demo) table(ctx context.Context, tenant, query string) error {
	return d.with(ctx, tenant, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		var lines [][]string
		var names []string
		for _, field := range rows.FieldDescriptions() {
			names = append(names, strings.ToUpper(field.Name))
		}
		lines = append(lines, names)
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			var line []string
			for _, value := range values {
				line = append(line, fmt.Sprint(value))
			}
			lines = append(lines, line)
		}
		d.columns(lines)
		return rows.Err()
	})
}
