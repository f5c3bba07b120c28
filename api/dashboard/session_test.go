package dashboard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/openradius/workspace-jobs/api/auth"
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
