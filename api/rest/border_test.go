package rest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	kuberest "k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/rest"
)

// front is a separate server, whose requests to Kubernetes can be counted and cut off.
type front struct {
	address string
	off     atomic.Bool
	// cut turns Kubernetes off, and ends the answers that are under way.
	cut func()

	lock  sync.Mutex
	asked []string
}

func newFront(t *testing.T) *front {
	t.Helper()
	shared.Env(t)
	target, err := url.Parse(env.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := &httputil.ReverseProxy{Transport: env.Transport(t), FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	kubernetes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie is passed on")
		}
		f.lock.Lock()
		f.asked = append(f.asked, r.Method+" "+r.URL.Path)
		f.lock.Unlock()
		if f.off.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	server := httptest.NewServer(rest.Handler(auth.New(&kuberest.Config{Host: kubernetes.URL}, directory), rest.WithHeartbeat(heartbeat)))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		kubernetes.CloseClientConnections()
		kubernetes.Close()
	})
	f.address = server.URL
	f.cut = func() {
		f.off.Store(true)
		kubernetes.CloseClientConnections()
	}
	return f
}

func (f *front) take() []string {
	f.lock.Lock()
	defer f.lock.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func TestAHiddenWorkspaceLooksLikeAMissingOne(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	// The caller is authenticated once for both.
	request{method: http.MethodGet, path: acme, as: app, elsewhere: f.address}.send(t).want(t, 200, nil)
	f.take()
	paths := map[string]string{
		"": "GET", "/jobs": "GET", "/jobs/x": "GET", "/jobs/x/logs": "GET", "/jobs/x/events": "GET", "/events": "GET", "/recurring": "GET", "/recurring/x": "GET",
		"/jobs/x/requeue": "POST", "/jobs/x/cancel": "POST", "/recurring/x/trigger": "POST", "/recurring/x/pause": "POST", "/recurring/x/resume": "POST",
	}
	first := true
	for path, method := range paths {
		seen := func(workspace string) (answer, string) {
			a := request{method: method, path: "/api/workspaces/" + workspace + path, as: app, elsewhere: f.address}.send(t)
			a.wantProblem(t, 404, "", "no such workspace")
			a.header.Del("Date")
			return a, strings.Join(f.take(), "\n")
		}
		hidden, askedOfHidden := seen("globex")
		missing, askedOfMissing := seen("nowhere")
		if !bytes.Equal(hidden.body, missing.body) || fmt.Sprint(hidden.header) != fmt.Sprint(missing.header) {
			t.Errorf("%s: %s %v\n%s %v", path, hidden.body, hidden.header, missing.body, missing.header)
		}
		if askedOfHidden != askedOfMissing || first && strings.Count(askedOfHidden, "\n")+1 != 1 {
			t.Errorf("%s: asked of the hidden one %q, of the missing one %q", path, askedOfHidden, askedOfMissing)
		}
		first = false
	}
	for _, workspace := range []string{"globex", "nowhere"} {
		request{method: http.MethodPost, path: "/api/jobs/cleanup", as: app, header: http.Header{"X-Workspace": {workspace}}}.send(t).wantProblem(t, 404, "", "no such workspace")
	}
}

func TestTheOtherTenantIsNowhere(t *testing.T) {
	t.Parallel()
	const secret = "globex-merger"
	makeJob(t, neighbour, "/api/workspaces/globex/jobs", `{"handler":"`+secret+`","name":"`+secret+`","delay":"1h"}`)
	request{method: http.MethodPut, path: "/api/workspaces/globex/recurring/" + secret, as: neighbour, body: `{"handler":"report","schedule":"@daily"}`}.send(t).want(t, 201, nil)
	for _, path := range []string{
		"/api/workspaces", acme, acme + "/jobs", acme + "/jobs?limit=500", acme + "/jobs?handler=" + secret, acme + "/recurring",
		"/api/workspaces/globex", "/api/workspaces/globex/jobs", "/api/workspaces/globex/jobs/" + secret, "/api/workspaces/globex/recurring/" + secret,
	} {
		a := request{method: http.MethodGet, path: path, as: app}.send(t)
		if bytes.Contains(a.body, []byte("globex")) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	a := request{method: http.MethodPost, path: "/api/jobs/cleanup", as: several}.send(t)
	if a.status != 400 || bytes.Contains(a.body, []byte("initech")) {
		t.Errorf("%d: %s", a.status, a.body)
	}
}

func TestOnlyATokenThatTheClusterAccepts(t *testing.T) {
	t.Parallel()
	shared.Env(t)
	good := tokens[app]
	for what, token := range map[string]string{
		"none": "", "none such": "abc", "altered": good[:len(good)-4] + "AAAA", "without its signature": good[:strings.LastIndex(good, ".")+1],
		"with more": good + " " + good, "no b64token": "a,b", "endless": strings.Repeat("a", 17<<10),
	} {
		a := request{method: http.MethodGet, path: "/api/workspaces", token: token}.send(t)
		t.Log(what)
		a.wantProblem(t, 401, "", "token")
	}
	for what, header := range map[string]http.Header{
		"a cookie":       {"Cookie": {"workspace-jobs=" + good, "__Host-workspace-jobs=" + good}},
		"basic":          {"Authorization": {"Basic " + good}},
		"another header": {"X-Forwarded-Access-Token": {good}, "X-Remote-User": {"admin"}, "Impersonate-User": {"admin"}},
	} {
		t.Log(what)
		request{method: http.MethodGet, path: "/api/workspaces", header: header}.send(t).wantProblem(t, 401, "", "token")
		request{method: http.MethodPost, path: "/api/jobs/cleanup", header: header}.send(t).wantProblem(t, 401, "", "token")
	}
	request{method: http.MethodGet, path: "/api/workspaces", header: http.Header{"Authorization": {"Bearer " + good, "Bearer x"}}}.send(t).wantProblem(t, 400, "header.Authorization", "more than once")
	// Impersonation gives no further rights.
	var list rest.WorkspaceList
	request{method: http.MethodGet, path: "/api/workspaces", as: app, header: http.Header{"Impersonate-User": {"admin"}, "Impersonate-Group": {"system:masters"}}}.send(t).want(t, 200, &list)
	if len(list.Items) != 1 {
		t.Errorf("%+v", list)
	}
	request{method: http.MethodGet, path: "/api/nonsense", undescribed: true}.send(t).wantProblem(t, 401, "", "token")
}

func TestAWorkspaceIsNotSmuggled(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{{"acme", "globex"}, {"acme,globex"}, {"acme, globex"}, {"ACME"}, {"acme/../globex"}, {"*"}, {""}, {"acme%00"}, {strings.Repeat("a", 54)}, {"acme."}} {
		header := http.Header{"X-Workspace": values}
		t.Log(values)
		request{method: http.MethodPost, path: "/api/jobs/cleanup", as: several, header: header}.send(t).wantProblem(t, 400, "header.X-Workspace", "")
		request{method: http.MethodGet, path: acme + "/jobs", as: several, header: header}.send(t).wantProblem(t, 400, "header.X-Workspace", "")
	}
	other := http.Header{"X-Workspace": {"globex"}}
	request{method: http.MethodGet, path: acme + "/jobs", as: several, header: other}.send(t).wantProblem(t, 400, "header.X-Workspace", "different workspaces")
	request{method: http.MethodGet, path: acme + "/jobs", as: several, header: http.Header{"X-Workspace": {"acme"}}}.send(t).want(t, 200, nil)
}

func TestNoPathLeadsElsewhere(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 3000)
	for _, id := range []string{"..%2f..%2fglobex", "%2e%2e", "a%00", "a%2fb", "A", "a.b", "a%20b", "%25", "a;b", "a%0d%0aX: y", long, "-a", "a-"} {
		for method, paths := range map[string][]string{
			http.MethodGet:    {acme + "/jobs/" + id, acme + "/recurring/" + id, "/api/workspaces/" + id, acme + "/jobs/" + id + "/logs", acme + "/jobs/" + id + "/events"},
			http.MethodDelete: {acme + "/jobs/" + id, acme + "/recurring/" + id, "/api/jobs/recurring/" + id},
			http.MethodPost:   {acme + "/jobs/" + id + "/requeue", acme + "/recurring/" + id + "/trigger"},
		} {
			for _, path := range paths {
				request{method: method, path: path, as: app}.send(t).wantProblem(t, 422, "", "path.")
			}
		}
	}
	for _, id := range []string{"..%2fx", "a%00", "-a", "a%20b", strings.Repeat("a", 201)} {
		request{method: http.MethodPost, path: "/api/jobs/reports/" + id, as: app}.send(t).wantProblem(t, 422, "path.id", "")
	}
	for path, status := range map[string]int{"/api/": 404, "/api": 404, "/api/jobs": 404, acme + "/nothing": 404, acme + "/jobs/x/y": 404, "/api/jobs/cleanup": 405} {
		request{method: http.MethodGet, path: path, as: app, undescribed: true}.send(t).wantProblem(t, status, "", "")
	}
	request{method: http.MethodGet, path: acme + "/jobs?a=%zz", as: app, undescribed: true}.send(t).wantProblem(t, 400, "query", "")
}

func TestABodyThatIsTooLarge(t *testing.T) {
	t.Parallel()
	body := `{"handler":"report","args":{"x":"` + strings.Repeat("x", 300<<10) + `"}}`
	for _, path := range []string{acme + "/jobs", "/api/jobs/cleanup"} {
		request{method: http.MethodPost, path: path, as: app, body: body}.send(t).wantProblem(t, 413, "", "256 KiB")
	}
	deep := `{"handler":"report","args":{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}}`
	request{method: http.MethodPost, path: acme + "/jobs", as: app, body: deep}.send(t).wantProblem(t, 400, "body", "")
}

func TestAViewerChangesNothing(t *testing.T) {
	t.Parallel()
	makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"looked-at","delay":"1h"}`)
	request{method: http.MethodPut, path: acme + "/recurring/looked-at", as: app, body: `{"handler":"report","schedule":"@yearly"}`}.send(t).want(t, 201, nil)
	for _, q := range []request{
		{method: http.MethodPost, path: "/api/jobs/cleanup"}, {method: http.MethodPost, path: "/api/jobs/reports/7"},
		{method: http.MethodPost, path: "/api/jobs/sync/now", body: `{}`}, {method: http.MethodPost, path: "/api/jobs/sync/recurring", body: `{"args":{}}`},
		{method: http.MethodDelete, path: "/api/jobs/recurring/looked-at"}, {method: http.MethodPost, path: acme + "/jobs", body: `{"handler":"report"}`},
		{method: http.MethodPost, path: acme + "/jobs/looked-at/cancel"}, {method: http.MethodDelete, path: acme + "/jobs/looked-at"},
		{method: http.MethodPut, path: acme + "/recurring/looked-at", body: `{"handler":"report","schedule":"@daily"}`},
		{method: http.MethodPost, path: acme + "/recurring/looked-at/trigger"}, {method: http.MethodPost, path: acme + "/recurring/looked-at/pause"},
		{method: http.MethodPost, path: acme + "/recurring/looked-at/resume"}, {method: http.MethodDelete, path: acme + "/recurring/looked-at"},
	} {
		q.as = reader
		a := q.send(t)
		t.Log(q.method, q.path)
		a.wantProblem(t, 403, "", "in this workspace: ask for a role")
		if bytes.Contains(a.body, []byte("serviceaccount")) || bytes.Contains(a.body, []byte("workspace-acme")) {
			t.Errorf("%s", a.body)
		}
	}
}

func TestAFullQuota(t *testing.T) {
	t.Parallel()
	q := request{method: http.MethodPost, path: "/api/jobs/reports/7?delayMinutes=60", as: full}
	for range 2 {
		q.send(t).want(t, 201, nil)
	}
	q.send(t).wantProblem(t, 429, "", "quota is full")
}

func TestKubernetesIsNotThere(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	request{method: http.MethodGet, path: acme, as: app, elsewhere: f.address}.send(t).want(t, 200, nil)
	f.off.Store(true)
	for _, q := range []request{
		{method: http.MethodGet, path: acme + "/jobs", as: app}, // a caller who is known already
		{method: http.MethodGet, path: "/api/workspaces", as: reader},
		{method: http.MethodPost, path: "/api/jobs/cleanup", as: app},
		{method: http.MethodGet, path: acme + "/events", as: app},
	} {
		q.elsewhere = f.address
		a := q.send(t)
		a.wantProblem(t, 503, "", "try again")
		if bytes.Contains(a.body, []byte("127.0.0.1")) {
			t.Errorf("%s", a.body)
		}
	}
	f.off.Store(false)
	request{method: http.MethodGet, path: acme + "/jobs", as: app, elsewhere: f.address}.send(t).want(t, 200, nil)
}
