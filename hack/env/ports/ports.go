// Package ports chooses addresses for the servers that tests start as processes of their
// own. Asking the system for a free port, closing it and passing it on is a race: another
// process may get the port before the server binds it. The ports here lie below those that
// systems give out by themselves, each is given once, and on Linux, where all of
// 127.0.0.0/8 is the machine itself, each process has a host of its own.
package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
)

// These are the ports that are tried, in order.
const (
	first = 20_000
	last  = 30_000
)

// given is how many ports were tried already.
var given atomic.Int32

// Host returns the loopback address that is this process's own as long as it lives.
func Host() string { return host(64) }

// OtherHost returns another such address, for a server that has two.
func OtherHost() string { return host(128) }

func host(from int) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid() // below 2^22
	return fmt.Sprintf("127.%d.%d.%d", from+pid>>16, pid>>8&0xff, pid&0xff)
}

// Address returns a host and a port that nobody else is given.
func Address() (string, error) {
	port, err := Free(Host())
	return net.JoinHostPort(Host(), strconv.Itoa(port)), err
}

// Free returns a port of one of the machine's addresses on which nobody listens, and which
// this process is not given again.
func Free(host string) (int, error) {
	for {
		port := first + int(given.Add(1))
		if port > last {
			return 0, errors.New("this process has used all of its ports")
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
}
