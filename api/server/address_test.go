package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheClientsAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ trusted, from, forwarded, want string }{
		{"", "192.0.2.1:1000", "", "192.0.2.1"},
		{"", "192.0.2.1:1000", "192.0.2.7", "192.0.2.1"},
		{"10.0.0.0/8", "192.0.2.1:1000", "192.0.2.7", "192.0.2.1"},
		{"10.0.0.0/8", "10.0.0.1:1000", "", "10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1:1000", "192.0.2.7", "192.0.2.7"},
		{"10.0.0.0/8", "[::ffff:10.0.0.1]:1000", "192.0.2.7", "192.0.2.7"},
		{"10.0.0.0/8", "10.0.0.1:1000", "192.0.2.7:4711", "192.0.2.7"},
		// A client may write what it likes, but not behind the address that a proxy saw.
		{"10.0.0.0/8", "10.0.0.1:1000", "192.0.2.99, 192.0.2.7", "192.0.2.7"},
		{"10.0.0.0/8", "10.0.0.1:1000", "10.0.0.9, 192.0.2.7", "192.0.2.7"},
		{"10.0.0.0/8", "10.0.0.1:1000", "192.0.2.99\n192.0.2.7", "192.0.2.7"},
		{"10.0.0.0/8", "10.0.0.1:1000", "192.0.2.99, unknown", "10.0.0.1"},
		{"10.0.0.0/8,2001:db8::1", "10.0.0.1:1000", "192.0.2.99, 192.0.2.7, 2001:db8::1,10.2.3.4", "192.0.2.7"},
		{"10.0.0.0/8,2001:db8::1", "[2001:db8::1]:1000", "[2001:db8:1::7]:4711", "2001:db8:1::7"},
		{"10.0.0.0/8", "10.0.0.1:1000", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
	} {
		var trusted proxies
		if err := trusted.UnmarshalText([]byte(c.trusted)); err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.RemoteAddr = c.from
		for header := range strings.Lines(c.forwarded) {
			request.Header.Add("X-Forwarded-For", strings.TrimSpace(header))
		}
		if got := trusted.clientOf(request).String(); got != c.want {
			t.Errorf("%+v: it is %s", c, got)
		}
	}
}

// TestAFloodOfTokensStopsNobodyElse sends made-up tokens from one address behind a proxy, which
// writes another address before its own each time.
func TestAFloodOfTokensStopsNobodyElse(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	shared.Operator(t)
	p := startProcess(t, env, "initech", "--trusted-proxies=127.0.0.1", "--failures-per-minute=10")
	ask := func(token, forwarded string) answered {
		return p.askWith(t, http.Header{"Authorization": {"Bearer " + token}, "X-Forwarded-For": {forwarded}}, http.MethodGet, "/api/workspaces/initech/jobs", "")
	}
	editor := p.token(t, env, "editor")
	if a := ask(editor, "192.0.2.1"); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	const tokens = 300
	counts := map[int]int{}
	for i := range tokens {
		a := ask(fmt.Sprintf("made-up-%d", i), fmt.Sprintf("198.51.100.%d, 192.0.2.1", i%250))
		counts[a.status]++
		if a.status == http.StatusTooManyRequests && (a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "from your address")) {
			t.Fatalf("%+v", a)
		}
	}
	t.Logf("the statuses of %d made-up tokens are %v", tokens, counts)
	if counts[http.StatusUnauthorized] < 10 || counts[http.StatusTooManyRequests] < tokens/2 {
		t.Error("the answers are wrong")
	}
	for from, token := range map[string]string{"192.0.2.1": editor, "192.0.2.2": p.token(t, env, "editor"), "2001:db8::7": p.token(t, env, "viewer")} {
		if a := ask(token, from); a.status != http.StatusOK {
			t.Errorf("a good token from %s is answered %+v", from, a)
		}
	}
	p.signedIn(t, p.token(t, env, "viewer"))
}
