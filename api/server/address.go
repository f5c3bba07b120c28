package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/openradius/workspace-jobs/api/auth"
)

// proxies are the addresses of the proxies whose word about their clients counts.
type proxies []netip.Prefix

// UnmarshalText reads a list of blocks and single addresses, separated by commas.
func (p *proxies) UnmarshalText(text []byte) error {
	*p = nil
	for each := range strings.SplitSeq(string(text), ",") {
		if each == "" {
			continue
		}
		block, err := netip.ParsePrefix(each)
		if err != nil {
			address, notOne := netip.ParseAddr(each)
			if notOne != nil {
				return fmt.Errorf("%q is neither a block such as 10.0.0.0/8 nor an address", each)
			}
			block = netip.PrefixFrom(address, address.BitLen())
		}
		*p = append(*p, block)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (p proxies) MarshalText() ([]byte, error) {
	texts := make([]string, len(p))
	for i, block := range p {
		texts[i] = block.String()
	}
	return []byte(strings.Join(texts, ",")), nil
}

func (p proxies) include(address netip.Addr) bool {
	for _, block := range p {
		if block.Contains(address) {
			return true
		}
	}
	return false
}

// addressed puts the address of each request's client into the request's context.
func (p proxies) addressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(auth.WithAddress(r.Context(), p.clientOf(r))))
	})
}

// clientOf returns the address of a request's client. Each proxy adds the address that it was
// called from at the end of X-Forwarded-For, so the list is true from its end up to the first
// one that is not a trusted proxy. Anybody can write what comes before that.
func (p proxies) clientOf(r *http.Request) netip.Addr {
	client := addressIn(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.include(client); i-- {
		hop := addressIn(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		client = hop
	}
	return client
}

// addressIn returns the address in a text that may have a port, or the zero address if it can't
// be read.
func addressIn(text string) netip.Addr {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().Unmap()
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}
