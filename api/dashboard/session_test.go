package dashboard_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/dashboard"
)

// TestSignInsHaveTheirLimit: the cluster is not asked about any number of made-up tokens, and a
// user who has signed in before does not notice.
func TestSignInsHaveTheirLimit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	handler, err := l.handler(aKey, auth.WithFailures(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	l.server = httptest.NewServer(handler)
	t.Cleanup(l.server.Close)
	before, guesser := l.as(t, "viewer"), l.visitor(t)
	const enough = 20 // one more is let through each half minute
	for i := range enough {
		refused := guesser.signIn(fmt.Sprintf("made-up-%d", i), "/hangfire")
		if refused.status == http.StatusTooManyRequests {
			refused.want(http.StatusTooManyRequests, "Too many tokens from your address", "Token")
			if refused.header.Get("Retry-After") == "" {
				t.Error("it does not say when to try again")
			}
			before.get("/hangfire/acme").want(http.StatusOK)
			return
		}
		refused.want(http.StatusUnauthorized, "does not accept this token")
	}
	t.Errorf("%d made-up tokens were let through", enough)
}

// TestAPageMakesRoomForAnotherWorkspaces: its browser comes back by itself, but not at once.
func TestAPageMakesRoomForAnotherWorkspaces(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	sessions, err := auth.NewSessions(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.server = httptest.NewServer(dashboard.Handler(auth.New(l.env.Config, l.directory), sessions, dashboard.WithStreams(auth.NewStreams(10, 2))))
	t.Cleanup(func() { l.server.CloseClientConnections(); l.server.Close() })
	viewer, neighbour := l.as(t, "viewer"), l.as(t, "workspace-globex/viewer")
	older, newest := viewer.open("/hangfire/acme/live/jobs"), viewer.open("/hangfire/acme/live/pods")
	older.until("live", "")
	newest.until("live", "")
	neighbour.open("/hangfire/globex/live/jobs").until("live", "")
	rest, err := io.ReadAll(newest.lines)
	if err != nil || !strings.HasSuffix(string(rest), "retry: 30000\n\n") || strings.Contains(string(rest), "event: end") {
		t.Errorf("the newest page's stream ends with %q, %v", rest, err)
	}
	if again := viewer.get("/hangfire/acme/live/pods").want(http.StatusServiceUnavailable, "as many streams open"); again.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
}
