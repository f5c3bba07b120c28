package dashboard_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// actionsOn returns the paths of every POST on a job and a recurring job.
func actionsOn(job, recurring string) []string {
	return []string{
		"/jobs/requeue", "/jobs/delete", "/jobs/" + job + "/requeue", "/jobs/" + job + "/cancel", "/jobs/" + job + "/delete",
		"/recurring/" + recurring + "/trigger", "/recurring/" + recurring + "/pause", "/recurring/" + recurring + "/resume",
		"/recurring/" + recurring + "/schedule", "/recurring/" + recurring + "/remove",
	}
}

// target makes a target for attacks, a finished job and a recurring job, and returns a check
// that they are as they were.
func (l lab) target(t *testing.T, name string) func() {
	t.Helper()
	l.run(t, name, testenv.Part{Exit: 65})
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), name, "play", nil, "H 2 * * *"); err != nil {
		t.Fatal(err)
	}
	job := l.until(t, name, v1alpha1.StateFailed)
	recurring, err := l.acme.GetRecurring(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		now, err := l.acme.Get(t.Context(), name)
		if err != nil || now.Generation != job.Generation || now.UID != job.UID {
			t.Errorf("the job was touched: %+v, %v", now.Spec, err)
		}
		still, err := l.acme.GetRecurring(t.Context(), name)
		if err != nil || still.Generation != recurring.Generation || still.UID != recurring.UID {
			t.Errorf("the recurring job was touched: %+v, %v", still.Spec, err)
		}
		runs, err := l.acme.List(t.Context(), client.ListOptions{TriggeredOf: name})
		if err != nil || len(runs.Items) > 0 {
			t.Errorf("%d runs were triggered, %v", len(runs.Items), err)
		}
	}
}

func formFor(name, token string) url.Values {
	return url.Values{
		"antiforgery": {token}, "job": {name}, "confirmed": {"yes"}, "schedule": {"1 1 * * *"}, "zone": {"Etc/UTC"},
	}
}

func TestAViewerHasNoButtonsAndCantSendWhatTheyDo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	untouched := l.target(t, "viewed")
	v := l.as(t, "viewer")
	for _, path := range []string{"", "/jobs", "/jobs?state=Failed", "/jobs/viewed", "/recurring", "/recurring/viewed", "/retries", "/pods", "/search?q=viewe&by=name"} {
		p := v.get("/hangfire/acme" + path).want(http.StatusOK)
		for _, form := range formsOf(t, p.body) {
			if form != "post /hangfire/-/sign-out" && form != "get /hangfire/acme/search" {
				t.Errorf("%q has the form %s", path, form)
			}
		}
		p.without("Requeue", ">Delete<", "Delete selected", ">Cancel<", "Trigger now", ">Pause<", ">Remove<", "Save this schedule", `type="checkbox"`, "formaction")
	}
	token := v.antiforgery()
	for _, action := range actionsOn("viewed", "viewed") {
		v.send("/hangfire/acme"+action, formFor("viewed", token)).want(http.StatusForbidden, "Your role does not allow this")
	}
	untouched()
}

// formsOf returns the forms of a page: the method of each, and where it goes.
func formsOf(t *testing.T, body string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var forms []string
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == "form" {
			forms = append(forms, attribute(node, "method")+" "+attribute(node, "action"))
		}
	}
	return forms
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestNothingIsDoneWithoutTheSessionsAntiforgeryToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	untouched := l.target(t, "forged")
	v, other := l.as(t, "editor"), l.as(t, "editor")
	mine, others := v.antiforgery(), other.antiforgery()
	if mine == others {
		t.Error("two sessions have the same antiforgery token")
	}
	for what, token := range map[string]string{"none": "", "another session's": others, "a word": "forged", "cut": mine[:len(mine)-3]} {
		for _, action := range actionsOn("forged", "forged") {
			p := v.send("/hangfire/acme"+action, formFor("forged", token))
			if p.status != http.StatusForbidden || !strings.Contains(p.body, "not from your session") {
				t.Errorf("%s, %s: %d %s", what, action, p.status, p.find("main"))
			}
		}
		if p := v.send("/hangfire/-/sign-out", url.Values{"antiforgery": {token}}); p.status != http.StatusForbidden {
			t.Errorf("%s signs out: %d", what, p.status)
		}
	}
	// The right token of a session that is over is worth nothing.
	jar := v.client.Jar
	address, err := url.Parse(v.base)
	if err != nil {
		t.Fatal(err)
	}
	kept := jar.Cookies(address)
	v.send("/hangfire/-/sign-out", url.Values{"antiforgery": {mine}}).want(http.StatusOK, "You have signed out.")
	jar.SetCookies(address, kept)
	v.send("/hangfire/acme/jobs/forged/requeue", formFor("forged", mine)).want(http.StatusOK, "Your session has ended, so what you sent was not done.")
	untouched()
	// In the header, where scripts send it, it is accepted.
	request := other.request("/hangfire/acme/jobs/forged/requeue", url.Values{})
	request.Header.Set("X-Antiforgery-Token", others)
	other.do(request).want(http.StatusOK, "The job was requeued.")
}

func TestAnotherSitesPageCantSendAnything(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	untouched := l.target(t, "crossed")
	v := l.as(t, "editor")
	token := v.antiforgery()
	for _, action := range append(actionsOn("crossed", "crossed"), "") {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			path := "/hangfire/acme" + action
			if action == "" {
				path = "/hangfire/-/sign-in"
			}
			request := v.request(path, formFor("crossed", token))
			request.Header.Del("Sec-Fetch-Site")
			request.Header.Set(name, value)
			if p := v.do(request); p.status != http.StatusForbidden {
				t.Errorf("%s with %s: %d", path, name, p.status)
			}
		}
		// Nor does any GET do anything.
		if p := v.get("/hangfire/acme" + action + "?" + formFor("crossed", token).Encode()); action != "" && p.status != http.StatusNotFound && p.status != http.StatusOK {
			t.Errorf("GET %s: %d", action, p.status)
		}
	}
	untouched()
}

func TestCookiesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "viewer")
	address, err := url.Parse(v.base)
	if err != nil {
		t.Fatal(err)
	}
	cookie := v.client.Jar.Cookies(address)[0]
	other, err := l.handler("another key of at least thirty-two bytes")
	if err != nil {
		t.Fatal(err)
	}
	asks := func(handler http.Handler, value string) *httptest.ResponseRecorder {
		request := httptest.NewRequest(http.MethodGet, "/hangfire/acme", nil)
		request.AddCookie(&http.Cookie{Name: cookie.Name, Value: value})
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder
	}
	if answer := asks(l.server.Config.Handler, cookie.Value); answer.Code != http.StatusOK {
		t.Errorf("the cookie itself: %d", answer.Code)
	}
	altered := []byte(cookie.Value)
	altered[len(altered)/2] ^= 1
	for what, answer := range map[string]*httptest.ResponseRecorder{
		"another server's": asks(other, cookie.Value), "altered": asks(l.server.Config.Handler, string(altered)), "empty": asks(l.server.Config.Handler, ""),
	} {
		if answer.Code != http.StatusSeeOther || !strings.HasPrefix(answer.Header().Get("Location"), "/hangfire/-/sign-in") {
			t.Errorf("%s: %d %v", what, answer.Code, answer.Header())
		}
	}
}

func TestTheWayBackStaysHere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	token := l.token(t, "viewer")
	for _, next := range []string{
		"https://evil.example/", "//evil.example/hangfire", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "/hangfire/../../evil", "/elsewhere",
		"/hangfire\r\nSet-Cookie: x=y", "http:evil.example", "/hangfire/-/sign-in?next=x", "/%2fevil.example", "///evil.example", "", "/hangfirex", "%", "/hangfire@evil.example",
	} {
		v := l.visitor(t)
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := v.signIn(token, next)
		if where := p.header.Get("Location"); p.status != http.StatusSeeOther || where != "/hangfire" {
			t.Errorf("%q leads to %d %q", next, p.status, where)
		}
		// The sign-in page itself leads nowhere else either.
		shown := l.visitor(t).get("/hangfire/-/sign-in?next=" + url.QueryEscape(next))
		shown.want(http.StatusOK).without("evil", "javascript:")
	}
}

func TestAnotherTenantIsNotThere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := l.globex.Schedule(t.Context(), "globex-handler", nil, time.Hour, client.WithName("globex-secret-job")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.globex.Delete(context.WithoutCancel(t.Context()), "globex-secret-job") })
	v := l.as(t, "editor")
	missing, hidden := map[string]*answer{}, map[string]*answer{}
	for _, path := range []string{
		"", "/jobs", "/jobs/globex-secret-job", "/recurring", "/recurring/x", "/retries", "/pods", "/search?q=globex-secret-job&by=name", "/search?q=secret&by=name",
		"/live", "/live/jobs", "/live/jobs/globex-secret-job", "/jobs/globex-secret-job/attempts/1/log", "/recurring/x/preview?schedule=@daily&zone=UTC",
	} {
		missing[path], hidden[path] = v.get("/hangfire/initech"+path), v.get("/hangfire/globex"+path)
	}
	token := v.antiforgery()
	for _, action := range actionsOn("globex-secret-job", "x") {
		missing[action] = v.send("/hangfire/initech"+action, formFor("globex-secret-job", token))
		hidden[action] = v.send("/hangfire/globex"+action, formFor("globex-secret-job", token))
	}
	missing["switch"], hidden["switch"] = v.get("/hangfire/-/switch?workspace=initech"), v.get("/hangfire/-/switch?workspace=globex")
	for path := range missing {
		if missing[path].status != http.StatusNotFound || hidden[path].status != http.StatusNotFound || missing[path].body != hidden[path].body {
			t.Errorf("%s: what is hidden is shown: %d, %d", path, missing[path].status, hidden[path].status)
		}
	}
	for _, path := range []string{"/hangfire/acme", "/hangfire/acme/jobs", "/hangfire/acme/recurring", "/hangfire/acme/pods", "/hangfire/acme/jobs/globex-secret-job", "/hangfire/acme/search?by=handler&q=globex-handler", "/hangfire/acme/search?by=name&q=secret-jo"} {
		for _, name := range []string{"globex-secret", "workspace-globex", ">globex<"} {
			if p := v.get(path); strings.Contains(strings.ReplaceAll(p.body, "globex-secret-job", ""), name) {
				t.Errorf("%s shows %s", path, name)
			}
		}
	}
	if _, err := l.globex.Get(t.Context(), "globex-secret-job"); err != nil {
		t.Error(err)
	}
	// But a user who is in both can switch between them.
	l.as(t, "workspace-globex/viewer").get("/hangfire/globex/jobs").want(http.StatusOK, "globex-secret-job").without("acme")
}

func TestIDsThatAreNoNames(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.as(t, "editor")
	for _, id := range []string{"..%2f..%2fworkspace-globex%2fjobs%2fx", "%2e%2e", "..%2F", "a%2Fb", "a%00b", "A", "a%0d%0aX:%20y", "%3Cscript%3E", strings.Repeat("a", 300), "a%3Fwatch=true", "a;b"} {
		for _, path := range []string{"/jobs/%s", "/recurring/%s", "/jobs/%s/attempts/1/log", "/live/jobs/%s", "/recurring/%s/preview"} {
			p := v.get("/hangfire/acme" + fmt.Sprintf(path, id))
			if p.status != http.StatusNotFound && p.status != http.StatusBadRequest || strings.Contains(p.body, "<script>") {
				t.Errorf("%s: %d", fmt.Sprintf(path, id), p.status)
			}
		}
	}
	for _, attempt := range []string{"0", "-1", "1.5", "..%2f", "99999999999"} {
		v.get("/hangfire/acme/jobs/x/attempts/" + attempt + "/log").want(http.StatusNotFound)
	}
}

// evil is text that would do something, or begin another event, if it were not escaped.
const evil = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'`\r\revent: live\rdata: <b>made up</b>\r\r\u202e\u2028\x1b[31m"

func TestWhatOthersWroteIsText(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	part := testenv.Part{Exit: 65, Error: evil, Log: evil + "\n"}
	l.run(t, "evil-fails", part, client.WithConcurrencyKey(evil[:60]))
	l.run(t, "evil-works", testenv.Part{Result: jsonOf(t, map[string]string{evil: evil}), Log: evil})
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "evil-recurring", "play", map[string]string{evil: evil}, "<script>alert(1)</script>", client.InTimeZone(evil[:60])); err != nil {
		t.Fatal(err)
	}
	l.until(t, "evil-fails", v1alpha1.StateFailed)
	l.until(t, "evil-works", v1alpha1.StateSucceeded)
	testenv.Eventually(t, "the schedule is refused", func(ctx context.Context) error {
		r, err := l.acme.GetRecurring(ctx, "evil-recurring")
		if err == nil && len(r.Status.Conditions) == 0 {
			err = fmt.Errorf("%+v", r.Status)
		}
		return err
	})
	t.Cleanup(func() { _ = l.acme.RemoveRecurring(context.WithoutCancel(t.Context()), "evil-recurring") })
	v := l.as(t, "editor")
	escaped := url.QueryEscape(evil)
	for _, path := range []string{
		"/jobs", "/jobs?state=Failed", "/jobs/evil-fails", "/jobs/evil-works", "/recurring", "/recurring/evil-recurring", "/recurring/evil-recurring?schedule=" + escaped + "&zone=" + escaped,
		"/recurring/evil-recurring/preview?schedule=" + escaped + "&zone=" + escaped, "/jobs?handler=" + escaped, "/jobs?key=" + escaped, "/jobs?state=" + escaped,
		"/search?by=name&q=" + escaped, "/search?by=name&q=evil&in=jobs&after=" + escaped, "/search?by=name&q=evil&in=jobs&continue=" + escaped, "/jobs?notice=" + escaped + "&n=" + escaped, "/jobs/evil-works?attempt=" + escaped, "/jobs?continue=" + escaped, "/pods?continue=" + escaped,
	} {
		p := v.get("/hangfire/acme" + path)
		p.without("<script>alert", "<img src=x", "<b>made up", "\x1b", "\u202e", "\u2028")
		inert(t, path, p)
	}
	v.get("/hangfire/acme/jobs/evil-fails").want(http.StatusOK, "&lt;script&gt;alert(1)&lt;/script&gt;")
	v.get("/hangfire/acme/jobs/evil-works").want(http.StatusOK, "&lt;script&gt;alert(1)&lt;/script&gt;")
	whole := v.get("/hangfire/acme/jobs/evil-works/attempts/1/log")
	if whole.header.Get("Content-Type") != "text/plain; charset=utf-8" || whole.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the log is served as %v", whole.header)
	}
	// These are a form's own fields.
	v.press("/hangfire/acme/jobs/delete", "job", "evil-works", "back", evil).want(http.StatusOK).without("<script>alert", "<img src=x")
	v.press("/hangfire/acme/recurring/evil-recurring/schedule", "schedule", evil, "zone", evil).want(http.StatusUnprocessableEntity).without("<script>alert", "<img src=x")
}

// inert checks that the page has nothing that its policy would have to stop.
func inert(t *testing.T, path string, p *answer) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		if node.Data == "style" || node.Data == "iframe" || node.Data == "object" || node.Data == "base" || node.Data == "script" && (attribute(node, "src") == "" || node.FirstChild != nil) {
			t.Errorf("%s has a <%s> of its own", path, node.Data)
		}
		for _, a := range node.Attr {
			link := a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction" || a.Key == "hx-get" || a.Key == "sse-connect"
			switch {
			case a.Key == "style", strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"), a.Key == "hx-vals", a.Key == "hx-vars":
				t.Errorf("%s has a %s", path, a.Key)
			case link && !strings.HasPrefix(a.Val, "/hangfire") && !strings.HasPrefix(a.Val, "#"):
				t.Errorf("%s has %s=%q", path, a.Key, a.Val)
			}
		}
	}
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
	}
	for name, value := range want {
		if got := p.header.Get(name); got != value {
			t.Errorf("%s has %s: %q", path, name, got)
		}
	}
}

func TestEveryPageIsInert(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.target(t, "inert")
	inert(t, "sign-in", l.visitor(t).get("/hangfire"))
	inert(t, "refused", l.visitor(t).signIn("x", "/hangfire"))
	v := l.as(t, "editor")
	for _, path := range []string{"", "/jobs", "/jobs/inert", "/recurring", "/recurring/inert", "/retries", "/pods", "/search?q=iner&by=name", "/search?q=no-such&by=name", "/no-such", "/jobs/no-such"} {
		inert(t, path, v.get("/hangfire/acme"+path))
	}
	inert(t, "confirm", v.press("/hangfire/acme/jobs/inert/delete"))
}

var script = regexp.MustCompile(`/hangfire/-/static/[^"]+`)

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.visitor(t)
	for _, path := range script.FindAllString(v.get("/hangfire").body, -1) {
		p := v.get(path).want(http.StatusOK)
		if !strings.Contains(p.header.Get("Cache-Control"), "immutable") || p.header.Get("Content-Type") == "" || p.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, p.header)
		}
		v.get(strings.Replace(path, "/static/", "/static/0", 1)).want(http.StatusNotFound)
	}
	v.get("/hangfire/-/static/x/../../../dashboard.go").want(http.StatusOK, "Where to get a token")
}

func TestVendoredFilesAreAsTheyWere(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("static/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"htmx.min.js", "htmx-ext-sse.min.js"} {
		content, err := os.ReadFile("static/vendor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s is not what the README says", name)
		}
	}
}
