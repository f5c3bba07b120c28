package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
	utilcache "k8s.io/apimachinery/pkg/util/cache"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/dashboard"
)

const (
	headerLimit = 32 << 10
	// headerTimeout and readTimeout limit how slowly a request may arrive.
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	// countedCallers is how many callers' rates are kept, and countedFor how long that of a
	// caller who sends nothing.
	countedCallers = 8192
	countedFor     = 10 * time.Minute
)

// limits are the limits on what callers may send.
type limits struct {
	body  int64
	rate  float64
	burst int
	write time.Duration
	// streams may be open in total, and streamsEach of one caller.
	streams, streamsEach int
	// failures is how many tokens of one address the cluster may reject per minute, and
	// signIns how many at sign-in.
	failures, signIns int
	proxies           proxies
}

// guarded puts the limits before next, and a log of all requests. token returns the token of
// a request, or "" if it has none.
func guarded(next http.Handler, l limits, token func(*http.Request) string, log *slog.Logger) http.Handler {
	return l.proxies.addressed(logged(recovered(l.rated(token, l.bounded(next)), log), log))
}

// opened opens the sessions of requests for the dashboard's pages.
func opened(sessions *auth.Sessions, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onDashboard(r) {
			r = sessions.Opened(r)
		}
		next.ServeHTTP(w, r)
	})
}

// staysOverTLS is how long a browser uses nothing but https for the server's host, in seconds.
const staysOverTLS = "max-age=31536000"

// overTLS has browsers that came by https, to the server or to a proxy in front of it, never use
// plain HTTP again.
func overTLS(proxied bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxied || r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", staysOverTLS)
		}
		next.ServeHTTP(w, r)
	})
}

func onDashboard(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, dashboard.Root) }

// tokenOf returns the token of the request's session on the dashboard's pages, and its bearer
// token elsewhere. Nothing else in a request tells callers apart: they can change it each time.
func tokenOf(sessions *auth.Sessions) func(*http.Request) string {
	return func(r *http.Request) string {
		if !onDashboard(r) {
			return auth.Bearer(r)
		}
		if session, err := sessions.Of(r); err == nil {
			return session.Token
		}
		return ""
	}
}

// bounded limits the size of a body and the time of an answer. A stream moves its deadline
// with each write, by http.ResponseController.
func (l limits) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > l.body {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have at most %d bytes", l.body))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, l.body)
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.write)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			refuse(w, http.StatusInternalServerError, "no time limit can be set on this connection")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// rated gives each caller a rate of its own, so that none uses up another's.
func (l limits) rated(token func(*http.Request) string, next http.Handler) http.Handler {
	callers := utilcache.NewLRUExpireCache(countedCallers)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := callerKey(token(r), auth.Site(r.Context()))
		limiter, ok := callers.Get(key)
		if !ok {
			limiter = rate.NewLimiter(rate.Limit(l.rate), l.burst)
		}
		callers.Add(key, limiter, countedFor)
		if limiter, ok := limiter.(*rate.Limiter); ok && !limiter.Allow() {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, fmt.Sprintf("you have sent more than %g requests a second: try again in a second", l.rate))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// callerKey tells callers apart by their tokens, or by their addresses if they have none.
func callerKey(token string, site netip.Prefix) [sha256.Size]byte {
	if token != "" {
		return sha256.Sum256([]byte("token " + token))
	}
	return sha256.Sum256([]byte("address " + site.String()))
}

// recovered keeps a panic in one request from ending the others.
func recovered(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if fault == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
				panic(fault)
			}
			log.Error("a request failed because of a fault in the server", "method", r.Method, "path", r.URL.Path, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, "the request failed because of a fault in the server, whose log has the details")
		}()
		next.ServeHTTP(w, r)
	})
}

// logged writes a line for each request. It has no token in it, and the caller is not known
// here.
func logged(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			log.Info("request", "client", auth.Address(r.Context()).String(), "method", r.Method, "path", r.URL.Path, "status", seen.status,
				"milliseconds", time.Since(begun).Milliseconds(), "bytes", seen.bytes)
		}()
		next.ServeHTTP(seen, r)
	})
}

// recorder records what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap returns the writer that http.ResponseController controls.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// refuse answers with a problem (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"title":%s,"status":%d,"detail":%s}`+"\n", strconv.Quote(http.StatusText(status)), status, strconv.Quote(strings.ToValidUTF8(detail, "?")))
}
