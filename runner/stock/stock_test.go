package main_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// build builds the stock image's program as the image has it.
func build(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=timetzdata", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

func TestProgram(t *testing.T) {
	t.Parallel()
	path := build(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 20<<20 {
		t.Errorf("the program has %d bytes; the image should stay below 20 MiB", info.Size())
	}
	output, err := exec.Command(path, "handlers").Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(output)) {
		name, _, _ := strings.Cut(line, "\t")
		names = append(names, name)
	}
	if got := strings.Join(names, " "); got != "data-cleanup external-sync report sql" {
		t.Errorf("handlers %s", got)
	}
}

// BenchmarkFirstStatement measures the time from a process's start to its first SQL
// statement on the wire: how long a job waits before its own work begins.
//
//	go test ./runner/stock -run '^$' -bench FirstStatement
func BenchmarkFirstStatement(b *testing.B) {
	path := build(b)
	server, err := postgres.Start(b.Context(), postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	database, err := server.CreateTenant(b.Context(), "acme", "password")
	if err != nil {
		b.Fatal(err)
	}
	if err := command(b.Context(), path, contract.CommandMigrate, database, 0).Run(); err != nil {
		b.Fatal(err)
	}
	watcher := watch(b, &database)
	var total, slowest time.Duration
	runs := 0
	for b.Loop() {
		runs++
		watcher.begin()
		if err := command(b.Context(), path, contract.CommandRun, database, runs).Run(); err != nil {
			b.Fatal(err)
		}
		took := watcher.took()
		total, slowest = total+took, max(slowest, took)
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(runs), "ms/first-statement")
	b.ReportMetric(float64(slowest.Microseconds())/1000, "ms/slowest")
}

func command(ctx context.Context, path, name, database string, job int) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, name)
	cmd.Env = []string{
		contract.EnvDatabaseURL + "=" + database, contract.EnvWorkspace + "=acme", contract.EnvQueue + "=workspace_acme",
		contract.EnvJobID + "=" + fmt.Sprintf("00000000-0000-4000-8000-%012d", job), contract.EnvJobName + "=job",
		contract.EnvRun + "=1", contract.EnvAttempt + "=1", contract.EnvHandler + "=sql",
		contract.EnvArgs + `={"statements":["SELECT 1"]}`,
	}
	return cmd
}

// watcher is a proxy between a runner and PostgreSQL that notices the first statement.
type watcher struct {
	mu      sync.Mutex
	started time.Time
	first   time.Duration
}

// watch starts a watcher in front of the database and changes the URL to it.
func watch(b *testing.B, database *string) *watcher {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	through, err := url.Parse(*database)
	if err != nil {
		b.Fatal(err)
	}
	behind := through.Host
	through.Host = listener.Addr().String()
	*database = through.String()
	w := &watcher{}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(client, behind)
		}
	}()
	return w
}

func (w *watcher) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started, w.first = time.Now(), 0
}

func (w *watcher) took() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

func (w *watcher) serve(client net.Conn, behind string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", behind)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(client, server) }()
	_ = w.forward(client, server) // it ends when either side hangs up
}

// forward forwards the client's messages: first the start-up message, which has no
// type, then messages with a type and a length.
func (w *watcher) forward(client io.Reader, server io.Writer) error {
	for header := 4; ; header = 5 {
		message := make([]byte, header)
		if _, err := io.ReadFull(client, message); err != nil {
			return err
		}
		if header == 5 && (message[0] == 'P' || message[0] == 'Q') {
			w.see()
		}
		rest := make([]byte, binary.BigEndian.Uint32(message[header-4:])-4)
		if _, err := io.ReadFull(client, rest); err != nil {
			return err
		}
		if _, err := server.Write(append(message, rest...)); err != nil {
			return err
		}
	}
}

func (w *watcher) see() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == 0 {
		w.first = time.Since(w.started)
	}
}
