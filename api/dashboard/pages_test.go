package dashboard_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestTheWayInIsToSignIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.visitor(t)
	for _, path := range []string{"/hangfire", "/hangfire/", "/hangfire/acme", "/hangfire/acme/jobs?state=Failed", "/hangfire/no-such", "/hangfire/acme/jobs/x/attempts/1/log", "/hangfire/-/switch", "/hangfire/-/no-such"} {
		p := v.get(path).want(http.StatusOK, "Sign in", "kubectl create token")
		if !strings.HasPrefix(p.path, "/hangfire/-/sign-in?") || strings.Contains(p.body, "acme/") && !strings.Contains(path, "acme") {
			t.Errorf("%s leads to %s", path, p.path)
		}
	}
	if p := v.signIn(l.token(t, "viewer"), "/hangfire/acme/jobs?state=Failed"); p.path != "/hangfire/acme/jobs?state=Failed" {
		t.Errorf("after the sign-in the page is %s", p.path)
	}
	v.get("/hangfire").want(http.StatusOK, "Overview", "system:serviceaccount:workspace-acme:viewer")
	v.press("/hangfire/-/sign-out").want(http.StatusOK, "You have signed out.")
	v.get("/hangfire/acme").want(http.StatusOK, "Where to get a token")
}

func TestTokensThatAreNotAccepted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.token(t, "viewer")
	expired, err := testenv.ExpiredToken(l.env.Kubeconfig, good)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := testenv.ForeignToken(good)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{"wrong": "let-me-in", "expired": expired, "foreign": foreign, "two lines": good + "\r\nX: y", "a long one": strings.Repeat("a", 100_000)} {
		v := l.visitor(t)
		p := v.signIn(token, "/hangfire")
		if p.status != http.StatusUnauthorized || !strings.Contains(p.body, "does not accept this token") || strings.Contains(p.body, token) {
			t.Errorf("%s: %d %.500s", what, p.status, p.find("main"))
		}
		v.get("/hangfire/acme").want(http.StatusOK, "Where to get a token")
	}
	l.visitor(t).signIn(" ", "/hangfire").want(http.StatusUnprocessableEntity, "the field is empty")
	// White space that was copied with it is ignored.
	l.visitor(t).signIn("\n "+good+" \r\n", "/hangfire").want(http.StatusOK, "Overview")
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.env.MakeAccount(t.Context(), "workspace-acme", "leaves"); err != nil {
		t.Fatal(err)
	}
	v := l.as(t, "leaves")
	removeAccount(t, l, "leaves")
	testenv.Eventually(t, "the session ends", func(context.Context) error {
		p := v.get("/hangfire/")
		if p.find("h1") != "Sign in" {
			return fmt.Errorf("there is %s", p.find("h1"))
		}
		p.want(http.StatusOK, "does not accept your token any more")
		return nil
	})
}

func TestJobsByState(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run(t, "list-ok", testenv.Part{})
	l.run(t, "list-bad", testenv.Part{Exit: 65, Error: "no such table"}, client.WithConcurrencyKey("list-key"))
	if _, err := l.acme.Schedule(t.Context(), "list-later", nil, time.Hour, client.WithName("list-scheduled")); err != nil {
		t.Fatal(err)
	}
	l.until(t, "list-ok", v1alpha1.StateSucceeded)
	l.until(t, "list-bad", v1alpha1.StateFailed)
	l.until(t, "list-scheduled", v1alpha1.StateScheduled)
	v := l.as(t, "viewer")
	v.get("/hangfire/acme/jobs?state=Failed").want(http.StatusOK, "list-bad", "no such table").without(">list-ok<", "list-scheduled")
	v.get("/hangfire/acme/jobs?key=list-key").want(http.StatusOK, "list-bad").without(">list-ok<")
	v.get("/hangfire/acme/jobs?handler=list-later").want(http.StatusOK, "list-scheduled").without(">list-ok<")
	v.get("/hangfire/acme/jobs?handler=none").want(http.StatusOK, "No job here").without(">list-ok<")
	v.get("/hangfire/acme/jobs?state=Nonsense").want(http.StatusOK, "list-ok")
	for search, want := range map[string]string{
		"q=list-ok&by=name": "/hangfire/acme/jobs/list-ok", "q=play&by=handler": "/hangfire/acme/jobs?handler=play",
		"q=list-key&by=key": "/hangfire/acme/jobs?key=list-key", "q=": "/hangfire/acme/jobs",
	} {
		if p := v.get("/hangfire/acme/search?" + search); p.path != want {
			t.Errorf("the search for %s leads to %s", search, p.path)
		}
	}
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 60 {
		if _, err := l.acme.Schedule(t.Context(), "paged", nil, time.Hour, client.WithName(fmt.Sprintf("paged-%02d", i))); err != nil {
			t.Fatal(err)
		}
	}
	v := l.as(t, "editor")
	first := v.get("/hangfire/acme/jobs?handler=paged").want(http.StatusOK, "Next page", "paged-00", "paged-49").without("paged-50", "First page")
	second := v.get(linkOf(t, first)).want(http.StatusOK, "First page", "paged-50", "paged-59").without("paged-49", "Next page", "sse-connect")
	if strings.Contains(second.body, "Newest") {
		t.Error("one of several pages claims to be ordered by time")
	}
	v.get("/hangfire/acme/jobs?continue=x").want(http.StatusUnprocessableEntity)
	// This token could be the API server's for another list: it shows nothing of that list.
	made := base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":-1,"start":"../workspace-globex/a\u0000"}`))
	if p := v.get("/hangfire/acme/jobs?continue=" + made); p.status < 400 || p.status > 499 {
		t.Errorf("a made-up page is answered %d: %s", p.status, p.find("main"))
	}
}

func TestAJobsPage(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run(t, "page-parent", testenv.Part{})
	l.run(t, "page-job", testenv.Part{Result: jsonOf(t, map[string]int{"rows": 7}), Log: "first line\nsecond line\n"}, client.After("page-parent"))
	l.until(t, "page-job", v1alpha1.StateSucceeded)
	v := l.as(t, "viewer")
	p := v.get("/hangfire/acme/jobs/page-job").want(http.StatusOK, "Succeeded", `&#34;rows&#34;: 7`, "first line\nsecond line", "/hangfire/acme/jobs/page-parent", "Attempt 1 started", "workspace_acme")
	p.want(http.StatusOK, "/hangfire/acme/jobs/page-job/attempts/1/log")
	whole := v.get("/hangfire/acme/jobs/page-job/attempts/1/log")
	if whole.body != "first line\nsecond line\n" || whole.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the whole log is %q, %v", whole.body, whole.header)
	}
	v.get("/hangfire/acme/jobs/page-job/attempts/9/log").want(http.StatusNotFound)
	v.get("/hangfire/acme/jobs/no-such").want(http.StatusNotFound, "There is no such job")

	l.run(t, "page-fails", testenv.Part{Exit: 65, Error: "no such table"})
	l.until(t, "page-fails", v1alpha1.StateFailed)
	v.get("/hangfire/acme/jobs/page-fails").want(http.StatusOK, "PermanentFailure", ">65<", "no such table")
}

func TestActionsOnJobs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.run(t, "act-held", testenv.Part{Hold: true})
	l.run(t, "act-failed", testenv.Part{Exit: 65, Error: "no"})
	l.until(t, "act-held", v1alpha1.StateProcessing)
	l.until(t, "act-failed", v1alpha1.StateFailed)
	v := l.as(t, "editor")
	v.get("/hangfire/acme/jobs/act-held").want(http.StatusOK, ">Cancel<", ">Delete<").without(">Requeue<")
	v.get("/hangfire/acme/jobs/act-failed").want(http.StatusOK, ">Requeue<").without(">Cancel<")

	v.press("/hangfire/acme/jobs/act-held/requeue").want(http.StatusConflict, "Only a finished job")
	v.press("/hangfire/acme/jobs/act-held/cancel", "back", "/hangfire/acme/jobs/act-held").want(http.StatusOK, "being cancelled")
	l.until(t, "act-held", v1alpha1.StateDeleted)
	before := l.until(t, "act-failed", v1alpha1.StateFailed).Status.Run
	v.press("/hangfire/acme/jobs/act-failed/requeue", "back", "/hangfire/acme/jobs/act-failed").want(http.StatusOK, "The job was requeued.")
	testenv.Eventually(t, "it runs again", func(ctx context.Context) error {
		job, err := l.acme.Get(ctx, "act-failed")
		if err == nil && job.Status.Run <= before {
			err = fmt.Errorf("run %d", job.Status.Run)
		}
		return err
	})
	l.until(t, "act-failed", v1alpha1.StateFailed)

	// Deleting asks for confirmation first.
	v.press("/hangfire/acme/jobs/act-failed/delete", "back", "/hangfire/acme/jobs").want(http.StatusOK, "Delete 1 job?", "act-failed")
	if _, err := l.acme.Get(t.Context(), "act-failed"); err != nil {
		t.Fatal(err)
	}
	p := v.press("/hangfire/acme/jobs/act-failed/delete", "back", "/hangfire/acme/jobs", "confirmed", "yes").want(http.StatusOK, "The job was deleted.")
	if !strings.HasPrefix(p.path, "/hangfire/acme/jobs?") {
		t.Errorf("it leads to %s", p.path)
	}
	gone(t, l, "act-failed")
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var fields []string
	for i := range 12 {
		name := fmt.Sprintf("many-%02d", i)
		l.run(t, name, testenv.Part{Exit: 65})
		fields = append(fields, "job", name)
	}
	for i := range 12 {
		l.until(t, fmt.Sprintf("many-%02d", i), v1alpha1.StateFailed)
	}
	v := l.as(t, "editor")
	v.press("/hangfire/acme/jobs/requeue").want(http.StatusUnprocessableEntity, "No job was selected")
	v.press("/hangfire/acme/jobs/requeue", append(fields, "job", "../../x")...).want(http.StatusUnprocessableEntity)
	v.press("/hangfire/acme/jobs/requeue", append(fields, "back", "/hangfire/acme/jobs?state=Failed")...).want(http.StatusOK, "12 jobs were requeued.")
	for i := range 12 {
		testenv.Eventually(t, "it ran again", func(ctx context.Context) error {
			job, err := l.acme.Get(ctx, fmt.Sprintf("many-%02d", i))
			if err == nil && (job.Status.Run != 2 || job.Status.State != v1alpha1.StateFailed) {
				err = fmt.Errorf("run %d is %s", job.Status.Run, job.Status.State)
			}
			return err
		})
	}
	v.press("/hangfire/acme/jobs/requeue", append(fields, "job", "no-such")...).want(http.StatusMultiStatus, "12 of 13 jobs were requeued", "no-such")
	v.press("/hangfire/acme/jobs/delete", fields...).want(http.StatusOK, "Delete 12 jobs?")
	v.press("/hangfire/acme/jobs/delete", append(fields, "confirmed", "yes")...).want(http.StatusOK, "12 jobs were deleted.")
	for i := range 12 {
		gone(t, l, fmt.Sprintf("many-%02d", i))
	}
}

func gone(t *testing.T, l lab, name string) {
	t.Helper()
	testenv.Eventually(t, name+" is gone", func(ctx context.Context) error {
		_, err := l.acme.Get(ctx, name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it still exists: %w", err)
	})
}

func TestRecurringJobs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "nightly", "play", testenv.Part{}, "H 2 * * *", client.InTimeZone("Asia/Kolkata")); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "its schedule is active", func(ctx context.Context) error {
		r, err := l.acme.GetRecurring(ctx, "nightly")
		if err == nil && r.Status.NextScheduledAt == nil {
			err = fmt.Errorf("%+v", r.Status)
		}
		return err
	})
	v := l.as(t, "editor")
	v.get("/hangfire/acme/recurring").want(http.StatusOK, "nightly", "H 2 * * *", "Asia/Kolkata", "IST")
	const path = "/hangfire/acme/recurring/nightly"
	v.get(path).want(http.StatusOK, "Trigger now", ">Pause<", "Save this schedule", "It stands for").without(">Resume<")
	v.get(path+"/preview?schedule=30+2+*+*+1-5&zone=Europe%2FBerlin").want(http.StatusOK, "02:30 CE", "Save this schedule").without("<html")
	v.get(path+"/preview?schedule=61+2+*+*+*&zone=Europe%2FBerlin").want(http.StatusOK, "the 1st field").without("Save this schedule")
	v.get(path+"/preview?schedule=@daily&zone=Nowhere").want(http.StatusOK, "time zone").without("Save this schedule")
	v.get(path+"?schedule=15+4+*+*+*&zone=Etc%2FUTC").want(http.StatusOK, "04:15 UTC", `value="15 4 * * *"`)

	v.press(path+"/schedule", "schedule", "61 * * * *", "zone", "Etc/UTC").want(http.StatusUnprocessableEntity, "the 1st field")
	v.press(path+"/schedule", "schedule", "15 4 * * *", "zone", "Europe/Berlin").want(http.StatusOK, "The schedule was changed.")
	const editor = "system:serviceaccount:workspace-acme:editor"
	v.get(path).without("Paused by", "Resumed by")
	v.press(path+"/pause").want(http.StatusOK, "The schedule is paused", ">Resume<", "Paused by</dt><dd>"+editor)
	r, err := l.acme.GetRecurring(t.Context(), "nightly")
	if err != nil || !r.Spec.Suspend || r.Spec.Schedule != "15 4 * * *" || r.Spec.TimeZone != "Europe/Berlin" {
		t.Errorf("%+v, %v", r.Spec, err)
	}
	v.get("/hangfire/acme/recurring").want(http.StatusOK, "Paused")
	p := v.press(path+"/trigger").want(http.StatusOK, "triggered just now")
	job := strings.TrimPrefix(strings.Split(p.path, "?")[0], "/hangfire/acme/jobs/")
	l.until(t, job, v1alpha1.StateSucceeded)
	v.get(path).want(http.StatusOK, job)
	v.get("/hangfire/acme/jobs/"+job).want(http.StatusOK, "Run of", path, "Created by</dt><dd>"+editor)
	v.press(path+"/resume").want(http.StatusOK, "The schedule is active again.", ">Pause<", "Resumed by</dt><dd>"+editor).without("Paused by")

	v.press(path+"/remove").want(http.StatusOK, "Remove the recurring job nightly?")
	if _, err := l.acme.GetRecurring(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	v.press(path+"/remove", "confirmed", "yes").want(http.StatusOK, "The recurring job was removed.")
	v.get(path).want(http.StatusNotFound)
	v.press(path + "/trigger").want(http.StatusNotFound)
}

func TestRetriesAndRunningPods(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	fails := testenv.Part{Exit: 1, Error: "not today"}
	retried := objects.MakeWorkspaceJob("retried").In("workspace-acme").Handler("play").ArgsOf(fails).Retries(1, time.Hour).Obj()
	if err := l.env.Client.Create(t.Context(), retried); err != nil {
		t.Fatal(err)
	}
	l.run(t, "runs", testenv.Part{Hold: true})
	testenv.Eventually(t, "it waits for its next attempt", func(ctx context.Context) error {
		job, err := l.acme.Get(ctx, "retried")
		if err == nil && (job.Status.State != v1alpha1.StateScheduled || job.Status.RunAttempts == 0) {
			err = fmt.Errorf("%s", job.Status.State)
		}
		return err
	})
	l.until(t, "runs", v1alpha1.StateProcessing)
	// This one is not due yet.
	if _, err := l.acme.Schedule(t.Context(), "play", nil, time.Hour, client.WithName("not-begun")); err != nil {
		t.Fatal(err)
	}
	l.until(t, "not-begun", v1alpha1.StateScheduled)
	v := l.as(t, "viewer")
	v.get("/hangfire/acme/retries").want(http.StatusOK, "retried", "not today", "due").without(">runs<", "not-begun", "paged-")
	v.get("/hangfire/acme/pods").want(http.StatusOK, ">runs<", "played", "Running").without(">retried<")
	v.get("/hangfire/acme").want(http.StatusOK, "Queue open", "of at most <b>20</b>", "Last 24 hours", "<svg")
}

func TestEmptyPagesSayWhatToDo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	// The test needs a workspace of its own, since tests make jobs in the others.
	if err := l.env.MakeTenant(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	v := l.as(t, "workspace-empty/viewer")
	for path, want := range map[string]string{
		"/jobs": "kubectl apply", "/recurring": "kind: WorkspaceRecurringJob", "/pods": "No pod is running", "/retries": "No job is waiting", "/jobs?state=Failed": "No job here is Failed",
	} {
		v.get("/hangfire/empty"+path).want(http.StatusOK, want)
	}
	if err := l.env.MakeAccount(t.Context(), "workspace-acme", "nobody"); err != nil {
		t.Fatal(err)
	}
	l.as(t, "nobody").get("/hangfire").want(http.StatusOK, "no workspace that you may see", "system:serviceaccount:workspace-acme:nobody")
}

func removeAccount(t *testing.T, l lab, name string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: name}}
	if err := l.env.Client.Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
}

var nextLink = regexp.MustCompile(`href="([^"]+)" rel="next"`)

func linkOf(t *testing.T, p *answer) string {
	t.Helper()
	found := nextLink.FindStringSubmatch(p.body)
	if found == nil {
		t.Fatal("there is no next page")
	}
	return html.UnescapeString(found[1])
}

// TestAPageThatIsTooOld runs before the parallel tests, which have not begun anything yet that
// it makes the API server forget.
func TestAPageThatIsTooOld(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"old-1", "old-2"} {
		if _, err := l.acme.Schedule(t.Context(), "old", nil, time.Hour, client.WithName(name)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.acme.AddOrUpdateRecurring(t.Context(), name, "old", nil, "@yearly"); err != nil {
			t.Fatal(err)
		}
	}
	jobs, err := l.acme.List(t.Context(), client.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	recurring, err := l.acme.ListRecurring(t.Context(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.acme.Schedule(t.Context(), "old", nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := l.env.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := l.as(t, "viewer")
	for path, next := range map[string]string{"/hangfire/acme/jobs": jobs.Continue, "/hangfire/acme/recurring": recurring.Continue} {
		testenv.Eventually(t, path+" can't continue", func(context.Context) error {
			if a := v.get(path + "?continue=" + url.QueryEscape(next)); a.status != http.StatusGone || !strings.Contains(a.body, "Start again from the first page") {
				return fmt.Errorf("%d %s", a.status, a.find("main"))
			}
			return nil
		})
		v.get(path).want(http.StatusOK, "old-1", "old-2")
	}
}
