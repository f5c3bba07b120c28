// Package postgres runs a private PostgreSQL for tests and demonstrations: a
// folder of its own, a free port, passwords over TCP only, and no trace when it
// stops. It is not for data that matters: fsync is off.
//
// It uses the PostgreSQL programs of the machine, and installs Debian's package
// when they are missing and it runs as root.
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

	"github.com/openradius/workspace-jobs/hack/env/ports"
)

// adminRole is the superuser that initdb makes.
const adminRole = "postgres"

// startTimeout bounds how long a server may take to answer.
const startTimeout = time.Minute

// Options configures a server. The zero value is a server for one test binary: a
// temporary folder, a free port of the loopback, gone when the process ends.
type Options struct {
	// Dir holds the server's files; empty: a temporary folder that Stop removes.
	// As root, its parents must let the user "postgres" through.
	Dir string
	// Listen is the addresses to listen on. Default: the loopback; of a server that ends
	// with this process, an address of the loopback that no other process uses.
	Listen []string
	// Port is the TCP port, 1 to 65535; 0: a free one.
	Port int
	// Allow is the networks, such as 10.244.0.0/16, whose clients may connect
	// with a password, beside the loopback and the Listen addresses.
	Allow []string
	// MaxConnections is how many sessions there may be at once. Default: 300.
	MaxConnections int
	// TLS lets clients connect with TLS as well; CAFile is what they verify it by.
	TLS bool
}

// Server is a running PostgreSQL.
type Server struct {
	state
	// process is nil for a server that runs on its own (Up, Open).
	process *process
	// unlock ends the claim to a temporary folder; nil for a folder of the caller's.
	unlock func()
}

// Start runs a server until Stop, or until this process ends, however it ends.
// It returns when the server takes connections.
func Start(ctx context.Context, options Options) (*Server, error) {
	programs, err := findPrograms(ctx)
	if err != nil {
		return nil, err
	}
	server := &Server{}
	if len(options.Listen) == 0 {
		options.Listen = []string{ports.Host()}
	}
	if options.Dir == "" {
		if options.Dir, server.unlock, err = temporaryDir(); err != nil {
			return nil, err
		}
	}
	if server.state, err = initialise(ctx, programs, options); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	server.process, err = startProcess(filepath.Join(server.Dir, "log"), programs.path("postgres"), "-D", server.dataDir())
	if err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if err := server.waitReady(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

// Up starts a server that goes on when this process ends, until Down. A folder
// that holds a server already is started again as it was: options other than Dir
// count only the first time. Dir is required.
func Up(ctx context.Context, options Options) (*Server, error) {
	if options.Dir == "" {
		return nil, errors.New("a server that goes on needs a folder of its own")
	}
	programs, err := findPrograms(ctx)
	if err != nil {
		return nil, err
	}
	server, err := Open(options.Dir)
	if errors.Is(err, os.ErrNotExist) {
		server = &Server{}
		server.state, err = initialise(ctx, programs, options)
	}
	if err != nil {
		return nil, err
	}
	if !server.running(ctx, programs) {
		log := filepath.Join(server.Dir, "log")
		if err := programs.run(ctx, "pg_ctl", "start", "-D", server.dataDir(), "-l", log, "-w", "-t", "60"); err != nil {
			return nil, err
		}
	}
	return server, server.waitReady(ctx)
}

// Down stops the server of Up and keeps its files. Without one it does nothing.
func Down(ctx context.Context, dir string) error {
	programs, err := findPrograms(ctx)
	if err != nil {
		return err
	}
	server, err := Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !server.running(ctx, programs) {
		return nil
	}
	return programs.run(ctx, "pg_ctl", "stop", "-D", server.dataDir(), "-m", "fast", "-w", "-t", "60")
}

// Open is the server that Up has made in dir, whether it runs or not.
func Open(dir string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	read, err := readState(dir)
	if err != nil {
		return nil, err
	}
	return &Server{state: read}, nil
}

// Stop ends a server of Start, at once and with all its sessions, and removes its
// temporary folder.
func (s *Server) Stop() error {
	var err error
	if s.process != nil {
		err = s.process.stop()
	}
	if s.unlock != nil {
		err = errors.Join(err, os.RemoveAll(s.Dir))
		s.unlock()
	}
	return err
}

// AdminURL is the superuser's connection URL for the database "postgres".
func (s *Server) AdminURL() string {
	return s.URL(adminRole, s.AdminPassword, "postgres")
}

// URL is a connection URL to the server's first address.
func (s *Server) URL(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(role, password),
		Host:   net.JoinHostPort(s.Listen[0], strconv.Itoa(s.Port)),
		Path:   "/" + database,
	}
	return u.String() + "?sslmode=disable"
}

// Log is what the server has logged.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) running(ctx context.Context, programs programs) bool {
	cmd := exec.CommandContext(ctx, programs.path("pg_ctl"), "status", "-D", s.dataDir())
	programs.drop(cmd)
	return cmd.Run() == nil
}

// waitReady returns when the server takes connections, from the right roles only.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.AdminURL())
		if err == nil {
			return errors.Join(closeDatabases(ctx, conn), conn.Close(ctx))
		}
		if s.process != nil && s.process.ended() {
			return fmt.Errorf("PostgreSQL ended at its start: %s", lastLines(s.Log()))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, lastLines(s.Log()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
