package handlers

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// newTransport returns a transport that asks check before each connection, once the name
// is resolved, so a name that leads elsewhere a moment later gains nothing. It uses no
// proxy, which would resolve names on its own.
func newTransport(check func(netip.Addr) error) *http.Transport {
	dialer := &net.Dialer{
		Timeout: requestTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return check(to.Addr())
		},
	}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: requestTimeout,
		IdleConnTimeout:     90 * time.Second,
	}
}

// refusedAddress is the error for an address that the handler must not connect to.
type refusedAddress struct{ addr netip.Addr }

func (r refusedAddress) Error() string {
	return fmt.Sprintf("the address %s is refused: external-sync connects to no loopback, link-local or metadata address", r.addr)
}

// refuseLocal returns an error for the addresses of the pod itself and of its node, and
// for those where clouds serve their nodes' credentials. All others are up to the
// workspace's network policy.
func refuseLocal(addr netip.Addr) error {
	to := inner(addr.WithZone("").Unmap())
	if to.IsLoopback() || to.IsLinkLocalUnicast() || to.IsMulticast() {
		return refusedAddress{addr}
	}
	for _, block := range refusedBlocks() {
		if block.Contains(to) {
			return refusedAddress{addr}
		}
	}
	return nil
}

// refusedBlocks are addresses that have no bit of their own in netip.
func refusedBlocks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), // Linux connects 0.0.0.0 to this host
		netip.MustParsePrefix("::/128"),
		netip.MustParsePrefix("255.255.255.255/32"),
		netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
		netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
		netip.MustParsePrefix("168.63.129.16/32"),   // Azure
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
		netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	}
}

// inner returns the IPv4 address to which an IPv6 address of a translator or a tunnel
// leads (RFC 4291, 6052, 8215 and 3056), and every other address as it is.
func inner(addr netip.Addr) netip.Addr {
	bytes := addr.As16()
	last := netip.AddrFrom4([4]byte(bytes[12:]))
	switch {
	case !addr.Is6(), addr == netip.IPv6Loopback(), addr == netip.IPv6Unspecified():
		return addr
	case netip.MustParsePrefix("::/96").Contains(addr),
		netip.MustParsePrefix("64:ff9b::/96").Contains(addr),
		netip.MustParsePrefix("64:ff9b:1::/48").Contains(addr):
		return last
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	default:
		return addr
	}
}
