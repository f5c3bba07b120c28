package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/dashboard"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{Node: true, Policies: true}}

func TestMain(m *testing.M) {
	os.Exit(shared.Run(m, func() {
		if opened.stop != nil {
			opened.stop()
		}
	}))
}

// lab is a cluster with the operator, a played node, the workspaces acme and globex, and
// the dashboard.
type lab struct {
	env       *testenv.Env
	acme      *client.Workspace
	globex    *client.Workspace
	server    *httptest.Server
	directory *auth.Informer
	stop      context.CancelFunc
}

var (
	once    sync.Once
	opened  lab
	openErr error
)

const aKey = "a key of at least thirty-two bytes"

func newLab(t *testing.T) lab {
	t.Helper()
	env := shared.Env(t)
	shared.Operator(t)
	once.Do(func() { openErr = open(env) })
	if openErr != nil {
		t.Fatal(openErr)
	}
	return opened
}

func open(env *testenv.Env) error {
	ctx, stop := context.WithCancel(context.Background())
	all := client.New(env.Config)
	opened = lab{env: env, acme: all.For("acme"), globex: all.For("globex"), stop: stop}
	var err error
	for _, name := range []string{"acme", "globex"} {
		if err := env.MakeTenant(ctx, name); err != nil {
			return err
		}
	}
	if opened.directory, err = auth.NewInformer(env.Config); err != nil {
		return err
	}
	go func() { _ = opened.directory.Run(ctx) }()
	if !opened.directory.Ready(ctx) {
		return errors.New("the Workspaces are not read")
	}
	handler, err := opened.handler(aKey)
	if err != nil {
		return err
	}
	opened.server = httptest.NewServer(handler)
	return nil
}

func (l lab) handler(key string, options ...auth.Option) (http.Handler, error) {
	sessions, err := auth.NewSessions([]byte(key))
	if err != nil {
		return nil, err
	}
	return dashboard.Handler(auth.New(l.env.Config, l.directory, options...), sessions, dashboard.WithLog(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))), nil
}

// token returns the token of a member of acme, or of an account elsewhere: namespace/account.
func (l lab) token(t *testing.T, account string) string {
	t.Helper()
	namespace, name, found := strings.Cut(account, "/")
	if !found {
		namespace, name = "workspace-acme", account
	}
	token, err := l.env.Token(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// visitor is a browser without scripts.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func (l lab) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, base: l.server.URL, client: &http.Client{Jar: jar, Timeout: testenv.PollLimit}}
}

// as returns a visitor who has signed in.
func (l lab) as(t *testing.T, account string) *visitor {
	t.Helper()
	v := l.visitor(t)
	if p := v.signIn(l.token(t, account), "/hangfire"); p.status != http.StatusOK || p.find("h1") == "Sign in" {
		t.Fatalf("%s can't sign in: %d %s", account, p.status, p.body)
	}
	return v
}

func (v *visitor) signIn(token, next string) *answer {
	v.t.Helper()
	return v.send("/hangfire/-/sign-in", url.Values{"token": {token}, "next": {next}})
}

// answer is the answer to a request, after redirections.
type answer struct {
	t      *testing.T
	status int
	body   string
	path   string
	header http.Header
}

func (v *visitor) get(path string) *answer {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(request)
}

// send sends a form as it is.
func (v *visitor) send(path string, form url.Values) *answer {
	v.t.Helper()
	return v.do(v.request(path, form))
}

func (v *visitor) request(path string, form url.Values) *http.Request {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return request
}

func (v *visitor) do(request *http.Request) *answer {
	v.t.Helper()
	response, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &answer{v.t, response.StatusCode, string(body), response.Request.URL.RequestURI(), response.Header}
}

var formToken = regexp.MustCompile(`name="antiforgery" value="([^"]+)"`)

// antiforgery returns the antiforgery token of the visitor's session.
func (v *visitor) antiforgery() string {
	v.t.Helper()
	found := formToken.FindStringSubmatch(v.get("/hangfire/acme/jobs").body)
	if found == nil {
		v.t.Fatal("the page has no antiforgery token")
	}
	return found[1]
}

// press presses a button: it sends a form with the session's antiforgery token.
func (v *visitor) press(path string, fields ...string) *answer {
	v.t.Helper()
	form := url.Values{"antiforgery": {v.antiforgery()}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return v.send(path, form)
}

func (a *answer) want(status int, texts ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("%s answers %d, not %d: %.600s", a.path, a.status, status, a.find("main"))
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("%s does not say %q: %.3000s", a.path, text, a.find("main"))
		}
	}
	return a
}

func (a *answer) without(texts ...string) *answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("%s says %q: %.3000s", a.path, text, a.body)
		}
	}
	return a
}

// find returns the text of the first element of this name.
func (a *answer) find(element string) string {
	a.t.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == element {
			return strings.Join(strings.Fields(textOf(node)), " ")
		}
	}
	return ""
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for each := range node.Descendants() {
		if each.Type == html.TextNode {
			text.WriteString(each.Data + " ")
		}
	}
	return text.String()
}

// run runs a job that plays the part.
func (l lab) run(t *testing.T, name string, part testenv.Part, options ...client.JobOption) *v1alpha1.WorkspaceJob {
	t.Helper()
	job, err := l.acme.Enqueue(t.Context(), "play", part, append(options, client.WithName(name))...)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// until waits until a job is in the state.
func (l lab) until(t *testing.T, name string, state v1alpha1.JobState) *v1alpha1.WorkspaceJob {
	t.Helper()
	var job *v1alpha1.WorkspaceJob
	testenv.Eventually(t, name+" is "+string(state), func(ctx context.Context) error {
		var err error
		job, err = l.acme.Get(ctx, name)
		if err == nil && (job.Status.State != state || job.Status.ObservedGeneration != job.Generation) {
			err = fmt.Errorf("it is %s: %s", job.Status.State, job.Status.Message)
		}
		return err
	})
	return job
}

func jsonOf(t *testing.T, value any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bind binds a ServiceAccount of a namespace to a role there.
func (l lab) bind(t *testing.T, account, namespace, role string) error {
	t.Helper()
	return l.env.Client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "workspace-jobs-" + role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	})
}
