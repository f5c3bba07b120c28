package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/quick"
)

// Shared is the one server of a test binary, with a pooler in front. Both start when the
// first test asks, so that tests of pure functions, and fuzz targets, need neither.
//
//	var shared postgres.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	Options Options
	// PoolSize is how many sessions the pooler opens to a database for a role.
	// Default: 10.
	PoolSize int

	once   sync.Once
	server *Server
	pooler *PgBouncer
	err    error
}

// Run runs the tests, and stops what was started. It returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	var err error
	if s.pooler != nil {
		err = s.pooler.Stop()
	}
	if s.server != nil {
		err = errors.Join(err, s.server.Stop())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "stop PostgreSQL: %v\n", err)
		code = max(code, 1)
	}
	return code
}

// Server returns the server. A test that can't have one fails: a skipped test would look
// like one that passed. Only -short skips it.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	quick.LeaveOut(t, "PostgreSQL")
	s.once.Do(func() { s.err = s.start(context.Background()) })
	if s.err != nil {
		t.Fatalf("no PostgreSQL to test against: %v", s.err)
	}
	return s.server
}

// Pooler returns the server's pooler.
func (s *Shared) Pooler(t testing.TB) *PgBouncer {
	t.Helper()
	s.Server(t)
	return s.pooler
}

func (s *Shared) start(ctx context.Context) error {
	var err error
	if s.server, err = Start(ctx, s.Options); err != nil {
		return err
	}
	size := s.PoolSize
	if size == 0 {
		size = 10
	}
	s.pooler, err = s.server.StartPgBouncer(ctx, size)
	return err
}
