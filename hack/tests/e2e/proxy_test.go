package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// proxy is a proxy between runners and PostgreSQL that delays one COMMIT: the first on a
// connection over which the marker was sent before. So a test can do something exactly
// before PostgreSQL gets the COMMIT, or exactly between the COMMIT and its answer.
type proxy struct {
	listener net.Listener
	server   string
	marker   []byte
	after    bool
	// held is closed when the COMMIT or its answer is delayed, and released when it may
	// continue.
	held, released chan struct{}
	hold, passOn   func()
}

// holdCommit starts a proxy that delays a COMMIT before PostgreSQL gets it.
func (tn *tenant) holdCommit(marker string) *proxy { return startProxy(tn.t, marker, false) }

// holdAnswer starts a proxy that delays the answer to a COMMIT.
func (tn *tenant) holdAnswer(marker string) *proxy { return startProxy(tn.t, marker, true) }

func startProxy(t *testing.T, marker string, after bool) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(shared.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		listener: listener, marker: []byte(marker), after: after,
		server: net.JoinHostPort(shared.host, strconv.Itoa(shared.server.Port)),
		held:   make(chan struct{}), released: make(chan struct{}),
	}
	p.hold = sync.OnceFunc(func() { close(p.held) })
	p.passOn = sync.OnceFunc(func() { close(p.released) })
	t.Cleanup(func() {
		p.passOn()
		_ = listener.Close() // the connections end with the runners and the server
	})
	go p.serve()
	return p
}

// urlOf returns a URL of the server, changed to go through the proxy.
func (p *proxy) urlOf(t *testing.T, direct string) string {
	t.Helper()
	parsed, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Host = p.listener.Addr().String()
	return parsed.String()
}

// waitHeld waits until the COMMIT is delayed.
func (p *proxy) waitHeld(tn *tenant) {
	tn.t.Helper()
	testenv.Eventually(tn.t, "a COMMIT is delayed", func(ctx context.Context) error {
		select {
		case <-p.held:
			return nil
		default:
			return errors.New("there was no COMMIT")
		}
	})
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		link := &link{proxy: p, client: client, server: server, muted: make(chan struct{}), ended: make(chan struct{})}
		link.mute = sync.OnceFunc(func() { close(link.muted) })
		link.end = sync.OnceFunc(func() {
			close(link.ended)
			_, _ = client.Close(), server.Close() // when one ends, so does the other
		})
		go link.forward()
		go link.answer()
	}
}

// link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	muted, ended   chan struct{}
	mute, end      func()
}

// forward forwards the client's messages, one by one.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
func (l *link) forward() {
	defer l.end()
	marked := false
	for first := true; ; first = false {
		message, err := readMessage(l.client, first)
		if err != nil {
			return
		}
		marked = marked || bytes.Contains(message, l.proxy.marker)
		if marked && isCommit(message) && l.mine() {
			if l.proxy.after {
				l.mute()
			} else if !l.holdUp() {
				return
			}
		}
		if _, err := l.server.Write(message); err != nil {
			return
		}
	}
}

// mine reports whether this is the COMMIT to delay: the first one over all connections.
func (l *link) mine() bool {
	select {
	case <-l.proxy.held:
		return false
	default:
		return true
	}
}

// holdUp returns true when the COMMIT may continue, or false when its client is gone. What
// the client sends meanwhile is lost.
func (l *link) holdUp() bool {
	l.proxy.hold()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, l.client)
	}()
	select {
	case <-gone:
		return false
	case <-l.proxy.released:
		return true
	}
}

// answer forwards the server's answers.
func (l *link) answer() {
	defer l.end()
	buffer := make([]byte, 64<<10)
	for {
		count, err := l.server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-l.muted:
			l.proxy.hold()
			select {
			case <-l.proxy.released:
			case <-l.ended:
				return
			}
		default:
		}
		if _, err := l.client.Write(buffer[:count]); err != nil {
			return
		}
	}
}

// statement returns a marker for a statement itself, and not for text that quotes it.
func statement(sql string) string { return "\x00" + sql + "\x00" }

// parameter returns a marker for a statement's parameter with this value.
func parameter(value string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(value)))) + value
}

// readMessage reads one message with its header. The first one of a connection has no type.
func readMessage(from io.Reader, first bool) ([]byte, error) {
	kind := 1
	if first {
		kind = 0
	}
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[kind:]))
	if length < 4 || length > 1<<24 {
		return nil, errors.New("not a PostgreSQL message")
	}
	message := make([]byte, kind+length)
	copy(message, head)
	_, err := io.ReadFull(from, message[len(head):])
	return message, err
}

// isCommit reports whether a message is a simple query with COMMIT, or the first message of
// an extended one, as psycopg sends. The server answers that only after the remaining
// messages, which follow at once.
func isCommit(message []byte) bool {
	return (message[0] == 'Q' || message[0] == 'P') && strings.EqualFold(strings.Trim(string(message[5:]), "\x00; "), "commit")
}
