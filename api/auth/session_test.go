package auth_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/auth"
)

func newSessions(t *testing.T, key string) *auth.Sessions {
	t.Helper()
	sessions, err := auth.NewSessions([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// begin begins a session, and returns the cookie that a browser then has.
func begin(t *testing.T, sessions *auth.Sessions, request *http.Request, token string) *http.Cookie {
	t.Helper()
	answer := httptest.NewRecorder()
	if err := sessions.Begin(answer, request, token); err != nil {
		t.Fatal(err)
	}
	return answer.Result().Cookies()[0]
}

func with(cookie *http.Cookie) *http.Request {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.AddCookie(cookie)
	return request
}

const (
	aKey       = "a key of at least thirty-two bytes"
	anotherKey = "another key of at least thirty-two bytes"
)

// TestKeysRotateWithoutAnEndOfSessions in the order of docs/install.md: replicas restart one by
// one, and each has to read the others' sessions.
func TestKeysRotateWithoutAnEndOfSessions(t *testing.T) {
	t.Parallel()
	rotating := func(keys ...string) *auth.Sessions {
		others := make([][]byte, 0, len(keys))
		for _, key := range keys[1:] {
			others = append(others, []byte(key))
		}
		sessions, err := auth.NewSessions([]byte(keys[0]), others...)
		if err != nil {
			t.Fatal(err)
		}
		return sessions
	}
	before, announced, rotated, after := rotating(aKey), rotating(aKey, anotherKey), rotating(anotherKey, aKey), rotating(anotherKey)
	for _, c := range []struct {
		of, by *auth.Sessions
		want   error
	}{
		{before, announced, nil},
		{announced, before, nil},
		{announced, rotated, nil},
		{rotated, announced, nil},
		{rotated, after, nil},
		{before, after, auth.ErrNoSession},
		{announced, after, auth.ErrNoSession},
		{after, before, auth.ErrNoSession},
		{rotated, before, auth.ErrNoSession}, // why the new key is announced first
	} {
		cookie := begin(t, c.of, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")
		session, err := c.by.Of(with(cookie))
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && (!c.by.Genuine(session, c.of.FormToken(session)) || c.by.Genuine(session, newSessions(t, "a third key of at least thirty-two bytes").FormToken(session))) {
			t.Errorf("%+v: a page's form is not told from a forged one", c)
		}
	}
	if _, err := auth.NewSessions([]byte(aKey), []byte("short")); err == nil {
		t.Error("a short key is accepted")
	}
}

func TestASessionIsSealed(t *testing.T) {
	t.Parallel()
	sessions := newSessions(t, aKey)
	cookie := begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, "the-token") || cookie.MaxAge <= 0 {
		t.Errorf("the cookie is %+v", cookie)
	}
	// Another replica with the key reads it.
	session, err := newSessions(t, aKey).Of(with(cookie))
	if err != nil || session.Token != "the-token" {
		t.Errorf("%+v, %v", session, err)
	}
	if _, err := newSessions(t, anotherKey).Of(with(cookie)); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("a server with another key reads it: %v", err)
	}
	for i := range len(cookie.Value) {
		altered := *cookie
		flipped := byte('A')
		if altered.Value[i] == flipped {
			flipped = 'B'
		}
		altered.Value = cookie.Value[:i] + string(flipped) + cookie.Value[i+1:]
		// The last character of base64 may hold bits that mean nothing.
		if session, err := sessions.Of(with(&altered)); err == nil && i < len(cookie.Value)-4 {
			t.Fatalf("altered at %d it is %+v", i, session)
		}
	}
	for _, value := range []string{"", "x", strings.Repeat("A", 4000)} {
		if _, err := sessions.Of(with(&http.Cookie{Name: cookie.Name, Value: value})); !errors.Is(err, auth.ErrNoSession) {
			t.Errorf("%.9q: %v", value, err)
		}
	}
	if _, err := sessions.Of(httptest.NewRequest(http.MethodGet, "/", nil)); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("no cookie: %v", err)
	}
}

func TestASessionOverTLSStaysThere(t *testing.T) {
	t.Parallel()
	sessions := newSessions(t, aKey)
	secured := httptest.NewRequest(http.MethodPost, "/", nil)
	secured.TLS = &tls.ConnectionState{}
	cookie := begin(t, sessions, secured, "the-token")
	if !cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-") || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("the cookie is %+v", cookie)
	}
	proxied := newSessions(t, aKey)
	proxied.Proxied = true
	if cookie := begin(t, proxied, httptest.NewRequest(http.MethodPost, "/", nil), "the-token"); !cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("behind a proxy the cookie is %+v", cookie)
	}
}

func TestAnEndedSessionIsOver(t *testing.T) {
	t.Parallel()
	sessions := newSessions(t, aKey)
	kept := begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")
	other := begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")
	answer := httptest.NewRecorder()
	sessions.End(answer, with(kept))
	if cleared := answer.Result().Cookies()[0]; cleared.MaxAge >= 0 || cleared.Value != "" {
		t.Errorf("the browser keeps %+v", cleared)
	}
	if _, err := sessions.Of(with(kept)); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("a copy of the cookie is still valid: %v", err)
	}
	if _, err := sessions.Of(with(other)); err != nil {
		t.Errorf("another session has ended with it: %v", err)
	}
}

func TestACookieIsOpenedOnce(t *testing.T) {
	t.Parallel()
	sessions := newSessions(t, aKey)
	request := sessions.Opened(with(begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")))
	request.Header.Del("Cookie")
	if session, err := sessions.Of(request); err != nil || session.Token != "the-token" {
		t.Errorf("%+v, %v", session, err)
	}
	sessions.End(httptest.NewRecorder(), request)
	if _, err := sessions.Of(request); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("it is still valid after its end: %v", err)
	}
	none := sessions.Opened(httptest.NewRequest(http.MethodGet, "/", nil))
	none.AddCookie(begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token"))
	if _, err := sessions.Of(none); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("a request without a session: %v", err)
	}
}

func TestAFormTokenIsItsSessions(t *testing.T) {
	t.Parallel()
	sessions := newSessions(t, aKey)
	one, err := sessions.Of(with(begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")))
	if err != nil {
		t.Fatal(err)
	}
	two, err := sessions.Of(with(begin(t, sessions, httptest.NewRequest(http.MethodPost, "/", nil), "the-token")))
	if err != nil {
		t.Fatal(err)
	}
	token := sessions.FormToken(one)
	if !sessions.Genuine(one, token) {
		t.Error("its own is not accepted")
	}
	for what, forged := range map[string]string{
		"none": "", "another session's": sessions.FormToken(two), "a word": "forged", "shortened": token[:len(token)-4],
		"of another key": newSessions(t, anotherKey).FormToken(one),
	} {
		if sessions.Genuine(one, forged) {
			t.Errorf("%s is accepted", what)
		}
	}
}

func TestKeysAndTokensHaveTheirSizes(t *testing.T) {
	t.Parallel()
	if _, err := auth.NewSessions([]byte("short")); err == nil {
		t.Error("a short key is accepted")
	}
	if _, err := auth.NewSessions(nil); err != nil {
		t.Error(err)
	}
	err := newSessions(t, aKey).Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil), strings.Repeat("x", 5000))
	if err == nil || !strings.Contains(err.Error(), "does not fit into a cookie") || strings.Contains(err.Error(), "xxxx") {
		t.Errorf("a token that is too long: %v", err)
	}
}
