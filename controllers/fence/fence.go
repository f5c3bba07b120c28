// Package fence finds out, from inside a pod, whether the network plugin enforces the pod's
// NetworkPolicies yet. Most plugins do so only a moment after the pod's start.
//
// A canary ([Serve]) listens on two ports, and its own NetworkPolicy lets runners connect to
// both. The policies of a workspace let them connect to the open port only. So a pod that
// reaches the open port and not the forbidden one of the same canary is fenced ([Wait]). A
// canary that is down, or a network that is not up yet, proves nothing: then the open port
// does not answer either. See docs/decisions/0080-wait-for-fence.md.
package fence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// Service is the name of the canary's Service, in the operator's namespace.
	Service = "workspace-jobs-canary"
	// OpenPort is the canary's port that a runner may connect to.
	OpenPort int32 = 8082
	// ForbiddenPort is the canary's port that a runner may not connect to.
	ForbiddenPort int32 = 8083

	// patience is how long one connection may take. A node's kernel answers for the canary,
	// even if the canary is busy.
	patience = time.Second
	// proofs is how often in a row the forbidden port must fail and the open one answer, so
	// that one lost packet does not look like a fence.
	proofs = 2
	// between is how long to wait after a check that failed.
	between = 100 * time.Millisecond
)

// Host is the name of the canary in the operator's namespace.
func Host(namespace string) string { return Service + "." + namespace + ".svc" }

// Labels are those of the canary's pods, in config/canary.
func Labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "workspace-jobs", "app.kubernetes.io/component": "canary"}
}

// Canary says where a canary is.
type Canary struct {
	// Host is a name or an address. The canary's answer has the address of its pod.
	Host            string
	Open, Forbidden int32
}

// Wait returns nil once the caller's pod is fenced, or an error that says what was seen last
// when limit has passed.
func (c Canary) Wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := c.check(ctx)
		if err == nil {
			return nil
		}
		// A check that was cut off when the time ran out says nothing.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", limit, last)
		case <-time.After(between):
		}
	}
}

// check returns nil if the pod is fenced now.
func (c Canary) check(ctx context.Context) error {
	first, err := ask(ctx, c.Host, c.Open)
	if err != nil {
		return fmt.Errorf("it is not known whether the pod's NetworkPolicies are enforced, because port %d of the canary %s does not answer: %w", c.Open, c.Host, err)
	}
	for range proofs {
		if connects(ctx, first.address, c.Forbidden) {
			return fmt.Errorf("the pod can connect to port %d of %s, the canary, which its NetworkPolicies forbid: no network plugin enforces them, or an egress rule of the Workspace allows it", c.Forbidden, first.address)
		}
		if ctx.Err() != nil {
			return errors.New("the time ran out during a check")
		}
		// The same process still answers, so it was not down.
		again, err := ask(ctx, first.address, c.Open)
		if err != nil || again != first {
			return fmt.Errorf("the canary %s stopped during a check", first.address)
		}
	}
	return nil
}

// answer is what a canary sends on each connection.
type answer struct{ id, address string }

func ask(ctx context.Context, host string, port int32) (answer, error) {
	connection, err := dial(ctx, host, port)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return answer{}, err
	}
	id, address, found := strings.Cut(strings.TrimSpace(line), " ")
	if !found || net.ParseIP(address) == nil {
		return answer{}, fmt.Errorf("the answer is not a canary's: %q", line)
	}
	return answer{id: id, address: address}, nil
}

func connects(ctx context.Context, host string, port int32) bool {
	connection, err := dial(ctx, host, port)
	if err == nil {
		_ = connection.Close()
	}
	return err == nil
}

func dial(ctx context.Context, host string, port int32) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
}
