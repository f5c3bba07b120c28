package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// untilState waits until the job is in the state, and returns it.
func untilState(t *testing.T, as account, path string, state v1alpha1.JobState) rest.Job {
	t.Helper()
	var job rest.Job
	testenv.Eventually(t, path+" is "+string(state), func(context.Context) error {
		job = rest.Job{}
		request{method: http.MethodGet, path: path, as: as}.send(t).want(t, 200, &job)
		if job.State != state {
			return fmt.Errorf("%s: %s", job.State, job.Message)
		}
		return nil
	})
	return job
}

func TestAJobsLife(t *testing.T) {
	t.Parallel()
	made := request{method: http.MethodPost, path: acme + "/jobs", as: app, body: `{"handler":"report","args":{"id":"x"},"timeout":"5m","name":"a-life"}`}.send(t).want(t, 201, nil)
	path := made.header.Get("Location")
	if path != acme+"/jobs/a-life" {
		t.Fatalf("it is at %q", path)
	}
	job := untilState(t, app, path, v1alpha1.StateSucceeded)
	if job.Queue != "workspace_acme" || len(job.Attempts) != 1 || job.Attempts[0].Outcome != v1alpha1.OutcomeSucceeded || job.FinishedAt == nil || job.Timeout != "5m0s" {
		t.Errorf("%+v", job)
	}
	act := func(action string, status int) answer {
		t.Helper()
		return request{method: http.MethodPost, path: path + "/" + action, as: app}.send(t).want(t, status, nil)
	}
	act("requeue", 200)
	testenv.Eventually(t, "it has run again", func(context.Context) error {
		if job := untilState(t, app, path, v1alpha1.StateSucceeded); job.Run != 2 || len(job.Attempts) != 2 {
			return fmt.Errorf("%+v", job)
		}
		return nil
	})
	act("cancel", 200)
	request{method: http.MethodDelete, path: path, as: app}.send(t).want(t, 204, nil)
	testenv.Eventually(t, "it is gone", func(context.Context) error {
		if a := (request{method: http.MethodGet, path: path, as: app}).send(t); a.status != 404 {
			return fmt.Errorf("%d", a.status)
		}
		return nil
	})
	request{method: http.MethodDelete, path: path, as: app}.send(t).want(t, 204, nil)
	for _, action := range []string{"requeue", "cancel"} {
		act(action, 404).wantProblem(t, 404, "", `no job \"a-life\" in this workspace`)
	}
}

func TestWhatAJobIsMadeOf(t *testing.T) {
	t.Parallel()
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"whole","runAt":"2031-02-03T04:05:06Z","priority":-7,"concurrencyKey":"k","ttlAfterFinished":"24h",
		"retry":{"limit":0,"minDelay":"1s","maxDelay":"1m","factor":3},"after":[{"name":"no-such-parent"},{"name":"other","when":"Finished"}]}`)
	if job.RunAt.Format(time.RFC3339) != "2031-02-03T04:05:06Z" || job.Priority != -7 || job.ConcurrencyKey != "k" || job.TTL != "24h0m0s" ||
		*job.Retry.Limit != 0 || *job.Retry.Factor != 3 || job.Retry.MinDelay != "1s" || len(job.After) != 2 || job.After[0].When != v1alpha1.AfterSucceeded || job.State != v1alpha1.StateAwaiting {
		t.Errorf("%+v", job)
	}
	request{method: http.MethodPost, path: acme + "/jobs/whole/requeue", as: app}.send(t).wantProblem(t, 409, "", "only a finished job")
	request{method: http.MethodPost, path: acme + "/jobs/whole/cancel", as: app}.send(t).want(t, 200, nil)
	untilState(t, app, acme+"/jobs/whole", v1alpha1.StateDeleted)
}

func TestAWrongFieldIsNamed(t *testing.T) {
	t.Parallel()
	for _, each := range []struct {
		body, location, says string
		status               int
	}{
		{`{}`, "body", "handler", 422},
		{``, "", "body is required", 400},
		{`null`, "body", "", 422},
		{`{"handler":"report","delay":"soon"}`, "body.delay", "90s", 422},
		{`{"handler":"report","delay":"-5m"}`, "body.delay", "90s", 422},
		{`{"handler":"report","delay":"90000h"}`, "body.delay", "ten years", 422},
		{`{"handler":"report","runAt":"tomorrow"}`, "body.runAt", "", 422},
		{`{"handler":"report","delay":"5m","runAt":"2031-01-01T00:00:00Z"}`, "body", "exclude each other", 422},
		{`{"handler":"a b"}`, "body.handler", "", 422},
		{`{"handler":"` + strings.Repeat("x", 101) + `"}`, "body.handler", "", 422},
		{`{"handler":"report","args":7}`, "body.args", "object", 422},
		{`{"handler":"report","args":{"x":"` + strings.Repeat("x", 64<<10) + `"}}`, "body.args", "64 KiB", 422},
		{`{"handler":"report","priority":1001}`, "body.priority", "", 422},
		{`{"handler":"report","timeout":"1ms"}`, "body.timeout", "between 1s and", 422},
		{`{"handler":"report","timeout":"1us"}`, "body.timeout", "must be a duration such as", 422},
		{`{"handler":"report","resources":{"limits":{"nvidia.com/gpu":"1"}}}`, "body.resources.limits.nvidia.com/gpu", "there is no such field: use one of cpu,", 422},
		{`{"handler":"report","resources":{"limits":{"memory":"-1"}}}`, "body.resources.limits.memory", "a quantity such as 256Mi", 422},
		{`{"handler":"report","resources":{"limits":{"memory":"1e9999999999"}}}`, "body.resources.limits.memory", "without a sign or an exponent", 422},
		{`{"handler":"report","resources":{"requests":{"cpu":"1E"}}}`, "body.resources.requests.cpu", "without a sign or an exponent", 422},
		{`{"handler":"report","resources":{"requests":{"ephemeral-storage":"1.2.3"}}}`, "body.resources.requests.ephemeral-storage", "a quantity such as", 422},
		{`{"handler":"report","resources":{"requests":{"cpu":"` + strings.Repeat("1", 21) + `"}}}`, "body.resources.requests.cpu", "", 422},
		{`{"handler":"report","resources":{"requests":{"memory":"2Gi"},"limits":{"memory":"1Gi"}}}`, "body.resources", "a request must not be larger than its limit", 422},
		{`{"handler":"report","retry":{"limit":101}}`, "body.retry.limit", "", 422},
		{`{"handler":"report","retry":{"minDelay":"x"}}`, "body.retry.minDelay", "90s", 422},
		{`{"handler":"report","retry":{"minDelay":"3h","maxDelay":"1h"}}`, "body.retry", "must not be longer", 422},
		{`{"handler":"report","name":"Upper"}`, "body.name", "lower-case", 422},
		{`{"handler":"report","name":"x","after":[{"name":"x"}]}`, "body", "itself", 422},
		{`{"handler":"report","image":"evil"}`, "body.image", "there is no such field: use one of after, args,", 422},
		{`{"handler":"report","retry":{"max":3}}`, "body.retry.max", "use one of factor, limit,", 422},
		{`{"handler":"report","after":[{"job":"x"}]}`, "body.after[0].job", "use one of name, ", 422},
		{`{"handler":"report","namespace":"workspace-globex"}`, "body.namespace", "there is no such field", 422},
	} {
		a := request{method: http.MethodPost, path: acme + "/jobs", as: app, body: each.body}.send(t)
		t.Log(string(a.body))
		a.wantProblem(t, each.status, each.location, each.says)
	}
	q := request{method: http.MethodPost, path: acme + "/jobs", as: app, body: "handler=report", header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	q.send(t).wantProblem(t, 415, "body", "")
}

func TestJobsThatWaitForAnotherAttempt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"between", "not-begun"} {
		makeJob(t, app, acme+"/jobs", `{"handler":"tried","delay":"1h","name":"`+name+`"}`)
		untilState(t, app, acme+"/jobs/"+name, v1alpha1.StateScheduled)
	}
	if err := env.AwaitRetry(t.Context(), "workspace-acme", "between"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"retrying=true": "between", "retrying=true&state=Scheduled": "between", "retrying=true&state=Failed": "",
		"retrying=true&handler=tried": "between", "retrying=true&handler=listed": "", "retrying=false&handler=tried": "between not-begun",
	} {
		var list rest.JobList
		request{method: http.MethodGet, path: acme + "/jobs?" + query, as: reader}.send(t).want(t, 200, &list)
		names := make([]string, 0, len(list.Items))
		for _, each := range list.Items {
			names = append(names, each.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s lists %q instead of %q", query, got, want)
		}
	}
}

func TestAnIdempotencyKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	shared.Env(t)
	q := request{method: http.MethodPost, path: "/api/jobs/reports/7?delayMinutes=60", as: app, header: http.Header{"Idempotency-Key": {"Invoice 7 / 2026"}}}
	var group sync.WaitGroup
	answers := make([]answer, 20)
	for i := range answers {
		group.Go(func() { answers[i] = q.send(t) })
	}
	group.Wait()
	created, names := 0, map[string]bool{}
	for _, a := range answers {
		if a.status == 201 {
			created++
			a.status = 200
		}
		var job rest.Job
		a.want(t, 200, &job)
		names[job.Name] = true
	}
	if created != 1 || len(names) != 1 {
		t.Errorf("%d times 201, jobs %v", created, names)
	}
	other := q
	other.path = "/api/jobs/reports/8?delayMinutes=60"
	other.send(t).wantProblem(t, 409, "", "does something else")

	for _, key := range []string{"", " ", "ä", strings.Repeat("k", 256)} {
		q.header = http.Header{"Idempotency-Key": {key}}
		q.send(t).wantProblem(t, 400, "header.Idempotency-Key", "printable")
	}
	q.header = http.Header{"Idempotency-Key": {"a", "b"}}
	q.send(t).wantProblem(t, 400, "header.Idempotency-Key", "more than once")
	named := request{method: http.MethodPost, path: acme + "/jobs", as: app, body: `{"handler":"report","delay":"1h","name":"named"}`, header: http.Header{"Idempotency-Key": {"another"}}}
	named.send(t).wantProblem(t, 422, "body.name", "one of them")
	named.header = nil
	named.send(t).want(t, 201, nil)
	named.send(t).want(t, 200, nil)
}

func TestRecurringJobs(t *testing.T) {
	t.Parallel()
	const path = acme + "/recurring/nightly"
	send := func(as account, method, path, body string) answer {
		return request{method: method, path: path, as: as, body: body}.send(t)
	}
	var recurring rest.RecurringJob
	body := `{"handler":"report","args":{"id":"x"},"schedule":"H 2 * * *","timeZone":"Asia/Kolkata","concurrencyPolicy":"Queue","startingDeadline":"1h","history":{"failed":9},"timeout":"5m"}`
	made := send(app, http.MethodPut, path, body).want(t, 201, &recurring)
	if made.header.Get("Location") != path || recurring.ID != "nightly" || recurring.ConcurrencyPolicy != v1alpha1.PolicyQueue || *recurring.History.Failed != 9 || recurring.StartingDeadline != "1h0m0s" {
		t.Errorf("%+v", recurring)
	}
	send(app, http.MethodPut, path, body).want(t, 200, nil)
	testenv.Eventually(t, "its next run is known", func(context.Context) error {
		var seen rest.RecurringJob
		send(reader, http.MethodGet, path, "").want(t, 200, &seen)
		if !seen.Ready || seen.NextScheduledAt == nil || seen.EffectiveSchedule == "" {
			return fmt.Errorf("%+v", seen)
		}
		return nil
	})
	if send(app, http.MethodPost, path+"/pause", "").want(t, 200, &recurring); !recurring.Paused {
		t.Error("it is not paused")
	}
	if send(app, http.MethodPut, path, body).want(t, 200, &recurring); !recurring.Paused {
		t.Error("PUT ended the pause")
	}
	trigger := request{method: http.MethodPost, path: path + "/trigger", as: app, header: http.Header{"Idempotency-Key": {"triggered"}}}
	var job rest.Job
	if trigger.send(t).want(t, 201, &job); job.RecurringJob != "nightly" || job.Name != "triggered" {
		t.Errorf("%+v", job)
	}
	trigger.send(t).want(t, 200, nil)
	untilState(t, app, job.Links.Self, v1alpha1.StateSucceeded)
	recurring = rest.RecurringJob{}
	if send(app, http.MethodPost, path+"/resume", "").want(t, 200, &recurring); recurring.Paused {
		t.Error("it is paused")
	}
	var list rest.RecurringJobList
	send(reader, http.MethodGet, acme+"/recurring?limit=1", "").want(t, 200, &list)
	if len(list.Items) != 1 {
		t.Errorf("%+v", list)
	}
	for wrong, location := range map[string]string{
		`{"handler":"report"}`: "body", `{"handler":"report","schedule":"61 * * * *"}`: "body.schedule",
		`{"handler":"report","schedule":"@daily","timeZone":"X"}`:           "body.timeZone",
		`{"handler":"report","schedule":"@daily","startingDeadline":"1s"}`:  "body.startingDeadline",
		`{"handler":"report","schedule":"@daily","concurrencyPolicy":"No"}`: "body.concurrencyPolicy",
	} {
		send(app, http.MethodPut, path, wrong).wantProblem(t, 422, location, "")
	}
	send(app, http.MethodDelete, path, "").want(t, 204, nil)
	for _, action := range []string{"/trigger", "/pause", "/resume"} {
		send(app, http.MethodPost, path+action, "").wantProblem(t, 404, "", "no recurring job")
	}
}

func TestARecurringJobsArgumentsComeAndGo(t *testing.T) {
	t.Parallel()
	for i, args := range []string{`{"a":{"b":1}}`, ``, `{"a":1,"c":[1]}`, `{}`, `{"c":{}}`, `{"c":{"d":null}}`, `{}`, ``, `{}`} {
		body := `{"handler":"report","schedule":"@daily","args":` + args + `}`
		if args == "" {
			body = `{"handler":"report","schedule":"@daily"}`
		}
		var recurring rest.RecurringJob
		a := request{method: http.MethodPut, path: acme + "/recurring/args", as: app, body: body}.send(t)
		if a.status >= 300 {
			t.Errorf("%d. %s: %s", i, args, a.body)
			continue
		}
		if a.want(t, a.status, &recurring); string(recurring.Args) != args && args+string(recurring.Args) != "{}" {
			t.Errorf("%d. %s: %s", i, args, recurring.Args)
		}
	}
}

func TestWorkspacesThatOneMaySee(t *testing.T) {
	t.Parallel()
	for who, want := range map[account]string{app: "acme", several: "acme globex", stranger: ""} {
		var list rest.WorkspaceList
		request{method: http.MethodGet, path: "/api/workspaces", as: who}.send(t).want(t, 200, &list)
		var names []string
		for _, each := range list.Items {
			names = append(names, each.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%v sees %q instead of %q", who, got, want)
		}
	}
	makeJob(t, app, acme+"/jobs", `{"handler":"counted","delay":"1h"}`)
	testenv.Eventually(t, "jobs are counted", func(context.Context) error {
		var ws rest.Workspace
		request{method: http.MethodGet, path: acme, as: reader}.send(t).want(t, 200, &ws)
		if !ws.Ready || ws.Queue != "workspace_acme" || ws.Concurrency != 20 || ws.Jobs.Scheduled == 0 {
			return fmt.Errorf("%+v", ws)
		}
		return nil
	})
}
