package auth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/auth"
)

// flood asks who has n made-up tokens, eight at once.
func flood(t *testing.T, n int, from func(i int) string, ask func(context.Context, string) (*auth.Caller, error)) {
	t.Helper()
	const atOnce = 8
	made := rand.Text()
	var all sync.WaitGroup
	for worker := range atOnce {
		all.Go(func() {
			for i := worker; i < n; i += atOnce {
				if _, err := ask(at(t, from(i)), fmt.Sprintf("made-up-%s-%d", made, i)); !errors.Is(err, auth.ErrUnauthenticated) && !errors.Is(err, auth.ErrTooManyFailures) {
					t.Errorf("a made-up token is answered %v", err)
				}
			}
		})
	}
	all.Wait()
}

// at returns the context of a request from an address.
func at(t *testing.T, address string) context.Context {
	t.Helper()
	return auth.WithAddress(t.Context(), netip.MustParseAddr(address))
}

// TestMadeUpTokensDoNotAllReachTheCluster counts those that do, and checks that no other caller is
// refused because of them.
func TestMadeUpTokensDoNotAllReachTheCluster(t *testing.T) {
	t.Parallel()
	const (
		tokens    = 500
		perMinute = 10
		most      = 100 // a slow machine needs a minute or two
	)
	l := newLab(t)
	known, unknown := l.account(t, "known-before-a-flood", "viewer", "acme"), l.account(t, "unknown-before-a-flood", "viewer", "acme")
	for name, address := range map[string]func(i int) string{
		"IPv4":             func(int) string { return "192.0.2.1" },
		"IPv4 in IPv6":     func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2] },
		"IPv6 of one site": func(i int) string { return fmt.Sprintf("2001:db8:0:1::%x", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kubernetes := l.front(t)
			authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{}, auth.WithFailures(perMinute, perMinute))
			before, err := authenticator.Caller(at(t, address(0)), known)
			if err != nil {
				t.Fatal(err)
			}
			kubernetes.times("")
			flood(t, tokens, address, authenticator.Caller)
			n := kubernetes.times("")
			t.Logf("the API server was asked about %d of %d", n, tokens)
			if n < perMinute || n > most {
				t.Errorf("it was asked about %d, want %d to %d", n, perMinute, most)
			}
			auth.Older(before, time.Minute)
			if _, err := authenticator.Caller(at(t, address(0)), known); err != nil || kubernetes.times("") != 1 {
				t.Errorf("a known token from there: %v", err)
			}
			for _, elsewhere := range []string{"192.0.2.2", "2001:db8:0:2::1"} {
				if _, err := authenticator.Caller(at(t, elsewhere), unknown); err != nil {
					t.Errorf("an unknown token from %s: %v", elsewhere, err)
				}
			}
		})
	}
}

// TestGoodTokensAtOnceAreNotRefused checks many users behind one address.
func TestGoodTokensAtOnceAreNotRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	kubernetes := l.front(t)
	kubernetes.instead = l.account(t, "of-tokens-at-once", "viewer", "acme")
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{}, auth.WithFailures(1, 1))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, err := authenticator.Caller(t.Context(), fmt.Sprintf("good-%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestSignInHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	token := l.account(t, "signs-in-after-a-flood", "viewer", "acme")
	kubernetes := l.front(t)
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{}, auth.WithFailures(1, 1))
	here := func(int) string { return "192.0.2.1" }
	flood(t, 20, here, authenticator.Caller)
	if _, err := authenticator.SignIn(at(t, here(0)), token); err != nil {
		t.Error(err)
	}
	kubernetes.times("")
	flood(t, 100, here, authenticator.SignIn)
	// It may have had eight at once, and more if it took minutes.
	if n := kubernetes.times(""); n < 1 || n > 20 {
		t.Errorf("the API server was asked about %d", n)
	}
	// A user who has signed in stays signed in.
	authenticator.Forget(token)
	if _, err := authenticator.CallerAgain(at(t, here(0)), token); err != nil {
		t.Error(err)
	}
}
