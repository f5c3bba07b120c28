package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/stream"
)

// behind returns next behind these limits, and what it logs.
func behind(next http.HandlerFunc, l limits) (http.Handler, *bytes.Buffer) {
	var log bytes.Buffer
	return guarded(next, l, auth.Bearer, slog.New(slog.NewJSONHandler(&log, nil))), &log
}

func usual() limits { return limits{body: 100, rate: 1000, burst: 1000, write: time.Minute} }

func TestABodyHasItsLimit(t *testing.T) {
	t.Parallel()
	handler, _ := behind(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}, usual())
	for size, want := range map[int]int{0: 200, 100: 200, 101: 413} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size))))
		if answer.Code != want {
			t.Errorf("%d bytes are answered %d", size, answer.Code)
		}
	}
	// Nor may a body lie about its length.
	request := httptest.NewRequest(http.MethodPost, "/", io.LimitReader(forever{}, 1<<20))
	request.ContentLength = -1
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if answer.Code != http.StatusTeapot {
		t.Errorf("a body of unknown length is answered %d", answer.Code)
	}
}

func TestACallerHasItsRate(t *testing.T) {
	t.Parallel()
	l := usual()
	l.rate, l.burst = 0.001, 3
	handler, _ := behind(func(http.ResponseWriter, *http.Request) {}, l)
	ask := func(token, address string) int {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.RemoteAddr = address
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code == http.StatusTooManyRequests && answer.Header().Get("Retry-After") == "" {
			t.Error("the answer does not say when to try again")
		}
		return answer.Code
	}
	for i := range 5 {
		want := 200
		if i >= 3 {
			want = 429
		}
		if got := ask("ana", "192.0.2.1:1000"); got != want {
			t.Errorf("request %d is answered %d", i, got)
		}
	}
	if got := ask("ben", "192.0.2.1:1000"); got != 200 {
		t.Errorf("another caller is answered %d", got)
	}
	for range 3 {
		ask("", "192.0.2.7:1000")
	}
	if got := ask("", "192.0.2.7:2000"); got != 429 {
		t.Errorf("an address without a token is answered %d", got)
	}
	for range 3 {
		ask("", "[2001:db8::1]:1000")
	}
	if got := ask("", "[2001:db8::2]:1000"); got != 429 {
		t.Errorf("another address of the same /64 is answered %d", got)
	}
}

// TestACallersRateIsOfItsToken checks that a token is the same caller, whatever else it sends.
func TestACallersRateIsOfItsToken(t *testing.T) {
	t.Parallel()
	sessions, err := auth.NewSessions(nil)
	if err != nil {
		t.Fatal(err)
	}
	begun := httptest.NewRecorder()
	if err := sessions.Begin(begun, httptest.NewRequest(http.MethodPost, "/", nil), "ana"); err != nil {
		t.Fatal(err)
	}
	session := begun.Result().Cookies()[0].String()
	session, _, _ = strings.Cut(session, ";")
	l := usual()
	l.rate, l.burst = 0.001, 2
	for _, last := range []struct {
		path, token, cookie string
		want                int
	}{
		{"/api/jobs", "ana", "a=3", 429},
		{"/hangfire", "", session, 429},
		{"/hangfire", "somebody", session + "; a=3", 429},
		{"/hangfire", "somebody", "", 200},
		{"/api/jobs", "ben", session, 200},
		{"/api/jobs", "", session, 200},
	} {
		handler := guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), l, tokenOf(sessions), slog.New(slog.DiscardHandler))
		ask := func(path, token, cookie string) int {
			request := httptest.NewRequest(http.MethodGet, path, nil)
			request.Header.Set("Cookie", cookie)
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			return answer.Code
		}
		for i := range 2 {
			if got := ask("/api/jobs", "ana", fmt.Sprintf("a=%d", i)); got != 200 {
				t.Fatalf("request %d is answered %d", i, got)
			}
		}
		if got := ask(last.path, last.token, last.cookie); got != last.want {
			t.Errorf("%+v is answered %d", last, got)
		}
	}
}

func TestBrowsersStayOverTLS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ proxied, tls, want bool }{{false, false, false}, {true, false, true}, {false, true, true}} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.tls {
			request.TLS = &tls.ConnectionState{}
		}
		answer := httptest.NewRecorder()
		overTLS(c.proxied, http.NotFoundHandler()).ServeHTTP(answer, request)
		if header := answer.Header().Get("Strict-Transport-Security"); (header != "") != c.want {
			t.Errorf("%+v: %q", c, header)
		}
	}
}

func TestAFaultEndsOneRequest(t *testing.T) {
	t.Parallel()
	handler, log := behind(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fault" {
			panic("a secret-word")
		}
	}, usual())
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/fault?token=hidden-word", nil)
	request.Header.Set("Authorization", "Bearer hidden-word")
	handler.ServeHTTP(answer, request)
	if answer.Code != 500 || strings.Contains(answer.Body.String(), "secret-word") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if text := log.String(); !strings.Contains(text, `"path":"/fault"`) || !strings.Contains(text, "secret-word") || strings.Contains(text, "hidden-word") {
		t.Errorf("it logs %s", text)
	}
}

// gone is a connection whose client has gone away.
type gone struct{ *httptest.ResponseRecorder }

func (gone) FlushError() error { return io.ErrClosedPipe }

// TestAClientThatIsGoneIsNoticed checks that the next flush notices it, and not a later write.
func TestAClientThatIsGoneIsNoticed(t *testing.T) {
	t.Parallel()
	handler, _ := behind(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := stream.Begin(w, stream.Events).Write([]byte("data: news\n\n")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the write ends with %v", err)
		}
	}, usual())
	handler.ServeHTTP(gone{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
}
