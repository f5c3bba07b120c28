package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	// callers have as many streams as each may have: 1,000 in all.
	callers = 1000 / auth.StreamsEach
	// pagesOpen are the dashboard's streams of a session.
	pagesOpen = 20
)

// TestAThousandStreams opens that many in one workspace, and checks that other callers are
// still served.
func TestAThousandStreams(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	shared.Operator(t)
	p := startProcess(t, env, "acme")
	tokens := p.makeCallers(t, env)
	// What the first stream leaves behind exists before the others.
	first := p.opened(t, tokens[:1], 1)
	first.close()
	idle := p.untilIdle(t, 0)

	all := p.opened(t, tokens, auth.StreamsEach)
	pages := p.openedPages(t, env)
	if refused := p.ask(t, tokens[0], http.MethodGet, "/api/workspaces/acme/events", ""); refused.status != http.StatusTooManyRequests || refused.header.Get("Retry-After") == "" ||
		!strings.Contains(refused.body, "as many streams open") {
		t.Errorf("one stream more of a caller is answered %d %s", refused.status, refused.body)
	}
	if err := p.ready(t.Context()); err != nil {
		t.Error(err)
	}
	p.makeJob(t, p.token(t, env, "editor"))
	all.told(t)
	pages.told(t)
	if used := p.peak(t); used > p.limit {
		t.Errorf("it has used %d bytes, but may use %d", used, p.limit)
	}
	all.close()
	pages.close()
	p.untilIdle(t, idle)
	// The slots are free again.
	p.opened(t, tokens[:1], auth.StreamsEach).close()
}

// TestStreamsOutliveTheLimits checks that the limits of other answers, both of how long they may
// take and of how long their requests may, do not end a stream.
func TestStreamsOutliveTheLimits(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	shared.Operator(t)
	p := startProcess(t, env, "globex", "--request-timeout="+readTimeout.String())
	editor := p.token(t, env, "editor")
	events, pages := p.opened(t, []string{editor}, 1), p.openedPages(t, env)
	<-time.After(readTimeout + 2*time.Second)
	p.makeJob(t, editor)
	events.told(t)
	pages.told(t)
}

// makeCallers makes ServiceAccounts of acme, which may read it, and their tokens.
func (p *process) makeCallers(t *testing.T, env *testenv.Env) []string {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace(), Name: "callers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "workspace-jobs-viewer"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts:" + p.namespace()}},
	}
	if err := env.Client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	tokens := make([]string, callers)
	for i := range tokens {
		name := fmt.Sprintf("caller-%d", i)
		if err := env.MakeAccount(t.Context(), p.namespace(), name); err != nil {
			t.Fatal(err)
		}
		tokens[i] = p.token(t, env, name)
	}
	return tokens
}

func (p *process) token(t *testing.T, env *testenv.Env, account string) string {
	t.Helper()
	made, err := env.Token(t.Context(), p.namespace(), account)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// streams are the streams that are open.
type streams struct {
	close context.CancelFunc
	tell  chan error
	n     int
}

// told waits until each stream has reported the job told-to-all.
func (s *streams) told(t *testing.T) {
	t.Helper()
	for i := range s.n {
		if err := <-s.tell; err != nil {
			t.Fatalf("stream %d does not report the job: %v", i, err)
		}
	}
}

// listener reads a stream: a program with a token, or a browser that has signed in.
type listener struct {
	client *http.Client
	token  string
}

// opened opens streams of acme's events, n of each caller, all at once.
func (p *process) opened(t *testing.T, tokens []string, n int) *streams {
	t.Helper()
	listeners := make([]listener, 0, len(tokens)*n)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, token := range tokens {
		for range n {
			listeners = append(listeners, listener{client, token})
		}
	}
	return p.openedAt(t, "/api/workspaces/"+p.workspace+"/events", listeners)
}

// openedPages opens the pages of an editor and a viewer who have signed in.
func (p *process) openedPages(t *testing.T, env *testenv.Env) *streams {
	t.Helper()
	var listeners []listener
	for _, account := range []string{"editor", "viewer"} {
		browser := p.signedIn(t, p.token(t, env, account))
		for range pagesOpen {
			listeners = append(listeners, listener{browser, ""})
		}
	}
	return p.openedAt(t, "/hangfire/"+p.workspace+"/live/jobs", listeners)
}

func (p *process) openedAt(t *testing.T, path string, listeners []listener) *streams {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testenv.PollLimit)
	t.Cleanup(cancel)
	s := &streams{close: cancel, tell: make(chan error, len(listeners)), n: len(listeners)}
	opened := make(chan error, len(listeners))
	for _, l := range listeners {
		go l.listen(ctx, p.url+path, opened, s.tell)
	}
	for range listeners {
		if err := <-opened; err != nil {
			t.Fatalf("a stream does not open: %v", err)
		}
	}
	return s
}

// listen reads the stream until it reports the job told-to-all, and then until it is closed. It
// sends whether the stream has been opened.
func (l listener) listen(ctx context.Context, url string, opened, tell chan<- error) {
	answer, err := l.ask(ctx, url)
	if err != nil {
		opened <- err
		return
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // each begins with something
	if answer.StatusCode != http.StatusOK {
		opened <- fmt.Errorf("it is answered %s", answer.Status)
		return
	}
	opened <- nil
	for lines.Scan() {
		if strings.Contains(lines.Text(), "told-to-all") {
			tell <- nil
			_, _ = io.Copy(io.Discard, answer.Body)
			return
		}
	}
	tell <- fmt.Errorf("it has ended: %w", lines.Err())
}

func (l listener) ask(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	if l.token != "" {
		request.Header.Set("Authorization", "Bearer "+l.token)
	}
	return l.client.Do(request)
}

func (p *process) signedIn(t *testing.T, token string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/hangfire/-/sign-in", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", p.url)
	answer, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "Overview") {
		t.Fatalf("nobody can sign in: %s, %v", answer.Status, err)
	}
	return browser
}

// makeJob makes the job that the streams report.
func (p *process) makeJob(t *testing.T, token string) {
	t.Helper()
	made := p.ask(t, token, http.MethodPost, "/api/workspaces/"+p.workspace+"/jobs", `{"handler":"report","name":"told-to-all","delay":"24h"}`)
	if made.status != http.StatusCreated {
		t.Fatalf("another caller is answered %d %s", made.status, made.body)
	}
}

type answered struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to the REST API.
func (p *process) ask(t *testing.T, token, method, path, body string) answered {
	t.Helper()
	return p.askWith(t, http.Header{"Authorization": {"Bearer " + token}}, method, path, body)
}

func (p *process) askWith(t *testing.T, headers http.Header, method, path, body string) answered {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headers
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{answer.StatusCode, answer.Header, string(text)}
}

// spare is how many goroutines connections may have that are kept for the next request.
const spare = 50

// untilIdle waits until no request is being answered, and there are no more goroutines than wanted,
// or any number if that is 0. It returns how many there are.
func (p *process) untilIdle(t *testing.T, wanted int) int {
	t.Helper()
	var goroutines float64
	testenv.Eventually(t, "the server is idle", func(ctx context.Context) error {
		running, err := p.metric(ctx, "workspace_jobs_server_requests")
		if err != nil {
			return err
		}
		if goroutines, err = p.metric(ctx, "go_goroutines"); err != nil {
			return err
		}
		if running > 0 || wanted > 0 && int(goroutines) > wanted+spare {
			return fmt.Errorf("%g requests and %g goroutines, before there were %d", running, goroutines, wanted)
		}
		return nil
	})
	return int(goroutines)
}
