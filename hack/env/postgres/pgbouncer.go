package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/hack/env/debian"
	"github.com/openradius/workspace-jobs/hack/env/ports"
)

// PgBouncer is a connection pooler in transaction mode in front of a Server.
type PgBouncer struct {
	dir     string
	host    string
	port    int
	process *process
}

// StartPgBouncer runs PgBouncer in transaction mode on a free port of the loopback until
// Stop is called or this process ends. It opens at most poolSize sessions for each
// database and role. Roles sign in with their PostgreSQL passwords.
func (s *Server) StartPgBouncer(ctx context.Context, poolSize int) (*PgBouncer, error) {
	path, err := findPgBouncer(ctx)
	if err != nil {
		return nil, err
	}
	programs, err := findPrograms(ctx)
	if err != nil {
		return nil, err
	}
	pooler := &PgBouncer{dir: filepath.Join(s.Dir, "pgbouncer"), host: ports.Host()}
	if pooler.port, err = ports.Free(pooler.host); err != nil {
		return nil, err
	}
	if err := programs.own(pooler.dir); err != nil {
		return nil, err
	}
	users := fmt.Sprintf("%q %q\n", adminRole, s.AdminPassword)
	if err := programs.write(filepath.Join(pooler.dir, "users"), users); err != nil {
		return nil, err
	}
	config := filepath.Join(pooler.dir, "pgbouncer.ini")
	if err := programs.write(config, pooler.settings(s, poolSize)); err != nil {
		return nil, err
	}
	if pooler.process, err = startProcess(pooler.logFile(), path, config); err != nil {
		return nil, err
	}
	if err := pooler.waitReady(ctx, s); err != nil {
		return nil, errors.Join(err, pooler.Stop())
	}
	return pooler, nil
}

func findPgBouncer(ctx context.Context) (string, error) {
	const debianPath = "/usr/sbin/pgbouncer"
	for range 2 {
		if path, err := exec.LookPath("pgbouncer"); err == nil {
			return path, nil
		}
		if _, err := os.Stat(debianPath); err == nil {
			return debianPath, nil
		}
		if err := debian.Install(ctx, "pgbouncer"); err != nil {
			return "", err
		}
	}
	return "", errors.New("the package pgbouncer is installed, but its program is not in PATH or /usr/sbin")
}

func (p *PgBouncer) logFile() string { return filepath.Join(p.dir, "log") }

func (p *PgBouncer) settings(s *Server, poolSize int) string {
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%d auth_user=%s", s.Listen[0], s.Port, adminRole),
		"[pgbouncer]",
		"listen_addr = " + p.host,
		fmt.Sprintf("listen_port = %d", p.port),
		"unix_socket_dir =",
		"auth_type = scram-sha-256",
		fmt.Sprintf("auth_file = %s", filepath.Join(p.dir, "users")),
		"auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1",
		"pool_mode = transaction",
		fmt.Sprintf("default_pool_size = %d", poolSize),
		"max_client_conn = 300",
		"",
	}, "\n")
}

// URL returns u, a URL of the server, changed to go through PgBouncer.
func (p *PgBouncer) URL(u string) (string, error) {
	parsed, err := url.Parse(u)
	if err != nil {
		return "", errors.New("not a connection URL")
	}
	parsed.Host = net.JoinHostPort(p.host, strconv.Itoa(p.port))
	return parsed.String(), nil
}

// Stop ends PgBouncer at once.
func (p *PgBouncer) Stop() error { return p.process.stop() }

func (p *PgBouncer) waitReady(ctx context.Context, s *Server) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	through, err := p.URL(s.AdminURL())
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(through)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	for {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(p.logFile())
			return fmt.Errorf("PgBouncer did not answer in time: %w: %s", err, lastLines(string(log)))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
