// Package postgres runs a private PostgreSQL for tests and demonstrations, in its own
// folder, on a free port and with passwords over TCP only. It leaves no trace when it
// stops. Don't use it for data that matters: fsync is off.
//
// It uses the PostgreSQL programs of the machine. If they are missing, it installs
// Debian's package, which needs root.
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
const startTimeout = 4 * time.Minute

// Options configures a server. The zero value is a server for one test binary, with a
// temporary folder and a free port of the loopback, which is gone when the process ends.
type Options struct {
	// Dir is the folder of the server's files. Default: a temporary folder that Stop
	// removes. As root, the user "postgres" must be able to enter its parents.
	Dir string
	// Listen are the addresses to listen on. Default: the loopback, or an address of the
	// loopback that no other process uses for a server that ends with this process.
	Listen []string
	// Port is the TCP port, 1 to 65535. Default: a free one.
	Port int
	// Allow are networks, such as 10.244.0.0/16, whose clients may connect with a
	// password, in addition to the loopback and the Listen addresses.
	Allow []string
	// MaxConnections is the maximum number of sessions. Default: 300.
	MaxConnections int
	// TLS lets clients connect with TLS, too. They verify the server with CAFile.
	TLS bool
}

// Server is a running PostgreSQL.
type Server struct {
	state
	// process is nil for a server that runs on its own (Up, Open).
	process *process
	// unlock releases a temporary folder. It is nil for a folder of the caller.
	unlock func()
}

// Start runs a server until Stop is called or this process ends, however it ends. It
// returns when the server accepts connections.
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

// Up starts a server that keeps running after this process ends, until Down. If the
// folder already has a server, it is started again as it was, and options other than
// Dir are ignored. Dir is required.
func Up(ctx context.Context, options Options) (*Server, error) {
	if options.Dir == "" {
		return nil, errors.New("a server that keeps running needs its own folder: set Dir")
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

// Down stops the server of Up and keeps its files. It does nothing if there is none.
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

// Open returns the server that Up created in dir, whether it runs or not.
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

// Stop ends a server of Start and all its sessions at once, and removes its temporary
// folder.
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

// AdminURL returns the superuser's connection URL for the database "postgres".
func (s *Server) AdminURL() string {
	return s.URL(adminRole, s.AdminPassword, "postgres")
}

// URL returns a connection URL for the server's first address.
func (s *Server) URL(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(role, password),
		Host:   net.JoinHostPort(s.Listen[0], strconv.Itoa(s.Port)),
		Path:   "/" + database,
	}
	return u.String() + "?sslmode=disable"
}

// Log returns the server's log.
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

// waitReady returns when the server accepts connections, of the right roles only.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.AdminURL())
		if err == nil {
			return errors.Join(closeDatabases(ctx, conn), conn.Close(ctx))
		}
		if s.process != nil && s.process.ended() {
			return fmt.Errorf("PostgreSQL ended while it started: %s", lastLines(s.Log()))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL did not answer in time: %w: %s", err, lastLines(s.Log()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
