package fence

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"
)

// Serve is the canary: it answers each connection to one of its listeners with its identity
// and the address that was connected to, until ctx ends.
func Serve(ctx context.Context, open, forbidden net.Listener) error {
	id := rand.Text()
	ended := make(chan error, 2)
	for _, listener := range []net.Listener{open, forbidden} {
		go func() { ended <- answerAll(ctx, listener, id) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	// The open one first, so that no pod sees only the forbidden one closed.
	return errors.Join(err, open.Close(), forbidden.Close())
}

// answerAll needs no goroutine for each connection: an answer fits into an empty buffer of
// the kernel.
func answerAll(ctx context.Context, listener net.Listener, id string) error {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			// Such as too many open files.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(between):
			}
			continue
		}
		if host, _, err := net.SplitHostPort(connection.LocalAddr().String()); err == nil {
			_ = connection.SetDeadline(time.Now().Add(patience))
			_, _ = fmt.Fprintf(connection, "%s %s\n", id, host)
		}
		_ = connection.Close()
	}
}
