package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestAPageThatIsTooOld runs before the parallel tests, which have not begun anything yet that
// it makes the API server forget.
func TestAPageThatIsTooOld(t *testing.T) {
	for i := range 2 {
		makeJob(t, app, acme+"/jobs", fmt.Sprintf(`{"handler":"old","delay":"1h","name":"old-%d"}`, i))
		request{method: http.MethodPut, path: fmt.Sprintf("%s/recurring/old-%d", acme, i), as: app, body: `{"handler":"old","schedule":"@yearly"}`}.send(t).want(t, 201, nil)
	}
	tokens := map[string]string{}
	for _, path := range []string{acme + "/jobs?limit=1", acme + "/jobs?limit=1&handler=old", acme + "/recurring?limit=1"} {
		var list struct{ Continue string }
		request{method: http.MethodGet, path: path, as: reader}.send(t).want(t, 200, &list)
		tokens[path] = path + "&continue=" + url.QueryEscape(list.Continue)
	}
	makeJob(t, app, acme+"/jobs", `{"handler":"old","delay":"1h"}`)
	if err := env.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, next := range tokens {
		var a answer
		testenv.Eventually(t, "it is too old", func(context.Context) error {
			if a = (request{method: http.MethodGet, path: next, as: reader}).send(t); a.status != http.StatusGone {
				return fmt.Errorf("%s: %d", next, a.status)
			}
			return nil
		})
		a.wantProblem(t, 410, "", "start again with the first page")
		if strings.Contains(string(a.body), "resourceVersion") {
			t.Errorf("%s", a.body)
		}
		request{method: http.MethodGet, path: path, as: reader}.send(t).want(t, 200, nil)
	}
}

func TestJobsAreListedInPages(t *testing.T) {
	t.Parallel()
	want := map[string]bool{}
	for i := range 7 {
		want[makeJob(t, app, acme+"/jobs", fmt.Sprintf(`{"handler":"listed","delay":"1h","name":"listed-%d"}`, i)).Name] = true
	}
	next := ""
	for pages := 1; ; pages++ {
		var list rest.JobList
		request{method: http.MethodGet, path: acme + "/jobs?handler=listed&limit=3&continue=" + url.QueryEscape(next), as: reader}.send(t).want(t, 200, &list)
		for _, job := range list.Items {
			delete(want, job.Name)
		}
		if next = list.Continue; next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	testenv.Eventually(t, "all are listed by their state", func(context.Context) error {
		var list rest.JobList
		request{method: http.MethodGet, path: acme + "/jobs?handler=listed&state=Scheduled", as: reader}.send(t).want(t, 200, &list)
		if len(list.Items) != 7 {
			return fmt.Errorf("%d", len(list.Items))
		}
		return nil
	})
	for query, want := range map[string][2]string{
		"limit=0":           {"query.limit", "number >= 1"},
		"limit=501":         {"query.limit", "number <= 500"},
		"limit=x":           {"query.limit", "must be a whole number from 1 to 500"},
		"state=Odd":         {"query.state", "Scheduled, Awaiting"},
		"handler=a%20b":     {"query.handler", ""},
		"retrying=perhaps":  {"query.retrying", "must be true or false"},
		"continue=nonsense": {"query.continue", "previous page"},
		"sort=age":          {"query.sort", "there is no such parameter: use one of state, retrying, handler, limit, continue"},
	} {
		request{method: http.MethodGet, path: acme + "/jobs?" + query, as: reader}.send(t).wantProblem(t, 422, want[0], want[1])
	}
}
