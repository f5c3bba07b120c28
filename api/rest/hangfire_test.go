package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestCleanupAndReports(t *testing.T) {
	t.Parallel()
	job := makeJob(t, app, "/api/jobs/cleanup", "")
	if job.Handler != "data-cleanup" || job.Workspace != "acme" || string(job.Args) != `{"column":"acctstoptime","olderThan":"2y","table":"radacct"}` {
		t.Errorf("%+v, args %s", job, job.Args)
	}
	job = makeJob(t, app, "/api/jobs/cleanup", `{"table":"t","column":"c","olderThan":"1d","maxRows":9007199254740993}`)
	if string(job.Args) != `{"column":"c","maxRows":9007199254740993,"olderThan":"1d","table":"t"}` {
		t.Errorf("args %s", job.Args)
	}
	job = makeJob(t, app, "/api/jobs/reports/7?delayMinutes=30", "")
	if job.Handler != "report" || string(job.Args) != `{"id":"7"}` || job.Delay != "30m0s" || job.State != v1alpha1.StateScheduled {
		t.Errorf("%+v, args %s", job, job.Args)
	}
	job = makeJob(t, app, "/api/jobs/reports/radacct-usage", `{"id":"radacct-usage","period":"2026-10"}`)
	if string(job.Args) != `{"id":"radacct-usage","period":"2026-10"}` || job.Delay != "" || job.State == v1alpha1.StateScheduled {
		t.Errorf("%+v, args %s", job, job.Args)
	}
	post := func(path, body string) answer {
		return request{method: http.MethodPost, path: path, as: app, body: body}.send(t)
	}
	post("/api/jobs/reports/7", `{"id":"8"}`).wantProblem(t, 422, "body.id", "different reports")
	post("/api/jobs/reports/7?delayMinutes=-1", "").wantProblem(t, 422, "query.delayMinutes", "")
	post("/api/jobs/reports/7?delayMinutes=soon", "").wantProblem(t, 422, "query.delayMinutes", "")
	post("/api/jobs/reports/7?delayminutes=30", "").wantProblem(t, 422, "query.delayminutes", "no such parameter")
	post("/api/jobs/reports/7?delayMinutes=1&delayMinutes=2", "").wantProblem(t, 400, "query.delayMinutes", "more than once")
	post("/api/jobs/cleanup", `[1]`).wantProblem(t, 422, "body", "object")
	post("/api/jobs/cleanup", `{`).wantProblem(t, 400, "body", "")
}

func TestTheRecurringSync(t *testing.T) {
	t.Parallel()
	send := func(method, path, body string) answer {
		return request{method: method, path: path, as: neighbour, body: body}.send(t)
	}
	const setup, now = "/api/jobs/sync/recurring", "/api/jobs/sync/now"
	send(http.MethodPost, setup, "").wantProblem(t, 422, "body.args", "url, table")
	send(http.MethodPost, now, "").wantProblem(t, 422, "body", "POST /api/jobs/sync/recurring")
	var recurring rest.RecurringJob
	send(http.MethodPost, setup, `{"args":{"url":"http://192.0.2.20/plans"},"timeZone":"Asia/Kolkata"}`).want(t, 201, &recurring)
	if recurring.ID != "daily-sync" || recurring.Schedule != "0 2 * * *" || recurring.TimeZone != "Asia/Kolkata" || recurring.Handler != "external-sync" {
		t.Errorf("%+v", recurring)
	}
	send(http.MethodPost, setup, `{"schedule":"@hourly"}`).want(t, 200, &recurring)
	if recurring.Schedule != "@hourly" || recurring.TimeZone != "Etc/UTC" || string(recurring.Args) != `{"url":"http://192.0.2.20/plans"}` {
		t.Errorf("%+v, args %s", recurring, recurring.Args)
	}
	send(http.MethodPost, setup, `{"schedule":"now and then"}`).wantProblem(t, 422, "body.schedule", "now and then")
	send(http.MethodPost, setup, `{"timeZone":"Mars/Olympus"}`).wantProblem(t, 422, "body.timeZone", "Mars/Olympus")

	send(http.MethodPut, "/api/workspaces/globex/recurring/no-sync", `{"handler":"report","schedule":"@daily"}`).want(t, 201, nil)
	send(http.MethodPost, setup, `{"id":"no-sync"}`).wantProblem(t, 422, "body.id", "runs report")
	send(http.MethodPost, setup, `{"id":"no-args","args":{}}`).want(t, 201, nil)
	send(http.MethodPost, setup, `{"id":"no-args"}`).want(t, 200, nil)
	send(http.MethodPut, "/api/workspaces/globex/recurring/bare", `{"handler":"external-sync","schedule":"@daily"}`).want(t, 201, nil)
	send(http.MethodPost, setup, `{"id":"bare"}`).want(t, 200, nil)

	job := makeJob(t, neighbour, now, "")
	if job.RecurringJob != "daily-sync" {
		t.Errorf("%+v", job)
	}
	testenv.Eventually(t, "the run has taken the recurring job's arguments", func(context.Context) error {
		var seen rest.Job
		send(http.MethodGet, job.Links.Self, "").want(t, 200, &seen)
		if seen.Handler != "external-sync" || string(seen.Args) != `{"url":"http://192.0.2.20/plans"}` {
			return fmt.Errorf("%+v", seen)
		}
		return nil
	})
	if job := makeJob(t, neighbour, now, `{"url":"http://192.0.2.20/once"}`); job.RecurringJob != "" || string(job.Args) != `{"url":"http://192.0.2.20/once"}` {
		t.Errorf("%+v", job)
	}
	for range 2 {
		send(http.MethodDelete, "/api/jobs/recurring/daily-sync", "").want(t, 204, nil)
	}
	send(http.MethodGet, recurring.Links.Self, "").wantProblem(t, 404, "", `no recurring job \"daily-sync\"`)
}

func TestWhichWorkspaceTheFiveRoutesMean(t *testing.T) {
	t.Parallel()
	for _, each := range []struct {
		what, header string
		as           account
		workspace    string
	}{
		{"where its ServiceAccount lives", "", app, "acme"},
		{"its only one", "", single, "acme"},
		{"the header's", "globex", several, "globex"},
		{"the header's, its own", "acme", app, "acme"},
	} {
		q := request{method: http.MethodPost, path: "/api/jobs/cleanup", as: each.as}
		if each.header != "" {
			q.header = http.Header{"X-Workspace": {each.header}}
		}
		var job rest.Job
		if q.send(t).want(t, 201, &job); job.Workspace != each.workspace {
			t.Errorf("%s: %s", each.what, job.Workspace)
		}
	}
	request{method: http.MethodPost, path: "/api/jobs/cleanup", as: several}.send(t).wantProblem(t, 400, "header.X-Workspace", "several workspaces")
	request{method: http.MethodPost, path: "/api/jobs/cleanup", as: stranger}.send(t).wantProblem(t, 400, "header.X-Workspace", "ask a platform admin")
}
