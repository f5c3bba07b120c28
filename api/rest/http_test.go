package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const acme = "/api/workspaces/acme"

// answer is an answer of the server.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is a request to the server under test. Without as it has no token.
type request struct {
	method, path, body string
	as                 account
	token              string
	header             http.Header
	// elsewhere is another server's address.
	elsewhere string
	// undescribed says that the path does not belong to the API.
	undescribed bool
}

func (q request) send(t testing.TB) answer {
	t.Helper()
	shared.Env(t) // left out by -short
	server := address
	if q.elsewhere != "" {
		server = q.elsewhere
	}
	// A stream that is not expected must not make the test hang.
	ctx, cancel := context.WithTimeout(t.Context(), testenv.PollLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, server+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token := q.token + tokens[q.as]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !q.undescribed {
		if err := described.check(q.method, r.URL.EscapedPath(), response.StatusCode, response.Header.Get("Content-Type"), body); err != nil {
			t.Error(err)
		}
	}
	if response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("a browser may guess the answer's type")
	}
	return answer{response.StatusCode, response.Header, body}
}

func get(t testing.TB, path, token string) answer {
	t.Helper()
	return request{method: http.MethodGet, path: path, token: token, undescribed: true}.send(t)
}

// want checks the status, and decodes the body into a value unless that is nil.
func (a answer) want(t testing.TB, status int, into any) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d instead of %d: %s", a.status, status, a.body)
	}
	if into != nil {
		decoder := json.NewDecoder(bytes.NewReader(a.body))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
	}
	return a
}

// problem is an answer that reports a problem.
type problem struct {
	Title, Detail string
	Status        int
	Errors        []struct{ Location, Message string }
}

// wantProblem checks that the answer is a problem of this status, which names the location
// unless that is "", and contains the text.
func (a answer) wantProblem(t testing.TB, status int, location, says string) {
	t.Helper()
	var p problem
	a.want(t, status, &p)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the problem is %q", got)
	}
	found := location == ""
	for _, each := range p.Errors {
		found = found || each.Location == location
	}
	if !found || p.Status != status || !strings.Contains(string(a.body), says) {
		t.Errorf("want %d, %q and %q: %s", status, location, says, a.body)
	}
	if strings.Contains(string(a.body), `"value"`) {
		t.Errorf("the answer repeats what was sent: %s", a.body)
	}
	if (status == 429 || status == 503) != (a.header.Get("Retry-After") != "") {
		t.Errorf("%d with Retry-After %q", status, a.header.Get("Retry-After"))
	}
	if (status == 401) != strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("%d with WWW-Authenticate %q", status, a.header.Get("WWW-Authenticate"))
	}
}

// make makes a job, and returns it.
func makeJob(t testing.TB, as account, path, body string) rest.Job {
	t.Helper()
	var job rest.Job
	request{method: http.MethodPost, path: path, as: as, body: body}.send(t).want(t, 201, &job)
	return job
}

func canonical(t testing.TB, text []byte) string {
	t.Helper()
	value, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// followed follows a log as text, and returns it once its first line has come.
func followed(t *testing.T, as account, path, line string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tokens[as])
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	first := make([]byte, len(line))
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != line {
		t.Fatalf("status %d, %q: %v", response.StatusCode, first, err)
	}
	return response.Body
}
