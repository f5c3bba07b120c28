package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	// FailuresPerMinute is how many unknown tokens of each client address the cluster may
	// reject per minute by default.
	FailuresPerMinute = 60
	// SignInsPerMinute is the same at sign-in.
	SignInsPerMinute = 20

	// askedAtOnce is how many unknown tokens of one address the cluster is asked about at
	// once. Others wait.
	askedAtOnce = 16
	// addressesCounted is how many addresses' failures are counted, and addressFor how long.
	// One takes about 500 bytes.
	addressesCounted = 8192
	addressFor       = 10 * time.Minute
	// site is how much of an IPv6 address names one client, who chooses the rest.
	site = 64
)

// ErrTooManyFailures is returned for a token that the server does not know, because the cluster
// has rejected too many from the same address.
var ErrTooManyFailures = errors.New("the cluster has rejected too many tokens from your address: try again later, with a token that it accepts")

type addressKey struct{}

// WithAddress returns the context of a request from a client's address.
func WithAddress(ctx context.Context, address netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, address.Unmap().WithZone(""))
}

// Address returns the client's address of a request; the zero address if it is not known.
func Address(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(netip.Addr)
	return address
}

// Site returns what tells clients apart by their addresses: an IPv4 address, or the /64 of an
// IPv6 address.
func Site(ctx context.Context) netip.Prefix {
	address := Address(ctx)
	prefix, _ := address.Prefix(min(site, address.BitLen())) // fails only for the zero address, which is one client
	return prefix
}

// failures limits how many tokens of each address the cluster may reject. Tokens that it
// accepts don't count. A nil *failures has no limit.
type failures struct {
	perMinute int
	addresses *memory[netip.Prefix, *source]
}

// source is an address that tokens come from.
type source struct {
	left   *rate.Limiter
	asking chan struct{}
}

func newFailures(perMinute int) *failures {
	return &failures{perMinute, newMemory[netip.Prefix, *source](addressFor, addressesCounted)}
}

// within asks the cluster about a token, unless too many of the same address have failed. Many
// good ones that come at once wait, and are not refused.
func (f *failures) within(ctx context.Context, ask func() (*Caller, error)) (*Caller, error) {
	if f == nil {
		return ask()
	}
	from := f.addresses.getOr(Site(ctx), 1, f.newSource)
	if from.spent() {
		return nil, ErrTooManyFailures
	}
	select {
	case from.asking <- struct{}{}:
		defer func() { <-from.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if from.spent() { // by those that were asked about meanwhile
		return nil, ErrTooManyFailures
	}
	caller, err := ask()
	if errors.Is(err, ErrUnauthenticated) {
		from.left.Allow()
	}
	return caller, err
}

func (f *failures) newSource() *source {
	return &source{rate.NewLimiter(rate.Every(time.Minute/time.Duration(f.perMinute)), f.perMinute), make(chan struct{}, askedAtOnce)}
}

func (s *source) spent() bool { return s.left.Tokens() < 1 }
