package fence

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// listen returns a listener on a free port of loopback, and the port.
func listen(t *testing.T) (net.Listener, int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener, int32(listener.Addr().(*net.TCPAddr).Port)
}

// unused returns a port that nobody listens on, which is how a fenced port looks to a pod.
func unused(t *testing.T) int32 {
	t.Helper()
	listener, port := listen(t)
	_ = listener.Close()
	return port
}

// start starts a canary, and returns it as a pod sees it that is not isolated.
func start(t *testing.T) Canary {
	t.Helper()
	open, openPort := listen(t)
	forbidden, forbiddenPort := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, open, forbidden) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return Canary{Host: "localhost", Open: openPort, Forbidden: forbiddenPort}
}

func TestWaitEndsOnceTheForbiddenPortIsClosed(t *testing.T) {
	t.Parallel()
	canary := start(t)
	canary.Forbidden = unused(t)
	if err := canary.Wait(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
}

// TestWaitFails checks that nothing but a fence counts as one.
func TestWaitFails(t *testing.T) {
	t.Parallel()
	whole := start(t)
	other, otherPort := listen(t)
	go func() {
		for {
			connection, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("SSH-2.0\n"))
			_ = connection.Close()
		}
	}()
	for name, test := range map[string]struct {
		canary Canary
		want   string
	}{
		"no fence":              {whole, "which its NetworkPolicies forbid"},
		"a canary that is down": {Canary{"localhost", unused(t), unused(t)}, "it is not known"},
		"nothing is reached":    {Canary{"localhost", unused(t), whole.Forbidden}, "it is not known"},
		"no canary":             {Canary{"localhost", otherPort, unused(t)}, "not a canary's"},
		"no such name":          {Canary{"canary.invalid", whole.Open, unused(t)}, "it is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// On a busy machine a canary may not answer in time, and then nothing is known.
			testenv.Eventually(t, test.want, func(ctx context.Context) error {
				err := test.canary.Wait(ctx, 3*time.Second)
				if err == nil {
					t.Fatal("the pod counts as fenced")
				}
				if !strings.Contains(err.Error(), test.want) {
					return err
				}
				return nil
			})
		})
	}
}

// TestTwoCanariesAreNoProof checks that the open port must be that of the canary whose
// forbidden port failed: behind a Service there may be several.
func TestTwoCanariesAreNoProof(t *testing.T) {
	t.Parallel()
	open, port := listen(t)
	go func() {
		for {
			connection, err := open.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte(rand.Text() + " 127.0.0.1\n"))
			_ = connection.Close()
		}
	}()
	err := Canary{Host: "127.0.0.1", Open: port, Forbidden: unused(t)}.Wait(t.Context(), 300*time.Millisecond)
	if err == nil {
		t.Error("two canaries count as one")
	}
}
