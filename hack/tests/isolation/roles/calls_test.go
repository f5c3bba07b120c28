package roles

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// call is one HTTP request to the API server.
type call struct {
	method, path, body string
	// impersonate is the user whom the caller wants to impersonate.
	impersonate string
}

type answer struct {
	code int
	body []byte
}

// refused reports whether RBAC refused the call, and not a quota or Pod Security, which
// answer with the same code.
func (a answer) refused() bool {
	return a.code == http.StatusForbidden && strings.Contains(string(a.body), " cannot ")
}

func (c call) send(t *testing.T, config *rest.Config) answer {
	t.Helper()
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), c.method, config.Host+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	if c.method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if c.impersonate != "" {
		request.Header.Set("Impersonate-User", c.impersonate)
	}
	response, err := web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, body}
}
