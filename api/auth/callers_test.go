package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// front is the API server behind a proxy that counts what it is asked.
type front struct {
	url string
	// instead, if it is set, replaces every token.
	instead string

	mutex sync.Mutex
	asked map[string]int
}

func (l lab) front(t *testing.T) *front {
	t.Helper()
	target, err := url.Parse(l.env.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{asked: map[string]int{}}
	server := httptest.NewServer(&httputil.ReverseProxy{Transport: l.env.Transport(t), Rewrite: func(r *httputil.ProxyRequest) {
		f.count(r.In.URL.Path)
		r.SetURL(target)
		if f.instead != "" {
			r.Out.Header.Set("Authorization", "Bearer "+f.instead)
		}
	}})
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *front) count(path string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.asked[path[strings.LastIndex(path, "/")+1:]]++
}

// times returns how often this resource, or any if it is "", was asked for since the last call.
func (f *front) times(resource string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	n := f.asked[resource]
	if resource == "" {
		for _, of := range f.asked {
			n += of
		}
	}
	f.asked = map[string]int{}
	return n
}

// many has many Workspaces: acme, and others that the caller may not see.
type many struct{ acme v1alpha1.Workspace }

func (m many) All(context.Context) ([]v1alpha1.Workspace, error) {
	all := []v1alpha1.Workspace{m.acme}
	for i := range 1100 {
		name := fmt.Sprintf("other-%04d", i)
		all = append(all, v1alpha1.Workspace{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Status: v1alpha1.WorkspaceStatus{Namespace: "workspace-" + name},
		})
	}
	return all, nil
}

func (l lab) acme(t *testing.T) v1alpha1.Workspace {
	t.Helper()
	var acme v1alpha1.Workspace
	if err := l.env.Client.Get(t.Context(), client.ObjectKey{Name: "acme"}, &acme); err != nil {
		t.Fatal(err)
	}
	return acme
}

// member returns acme with the account as a member in its spec, which RBAC does not know.
func member(acme v1alpha1.Workspace, account string) v1alpha1.Workspace {
	acme.Spec.Members = objects.MakeWorkspace("acme").MemberSubjects(v1alpha1.RoleViewer, objects.Account("workspace-acme", account)).Obj().Spec.Members
	return acme
}

func TestManyWorkspacesTakeFewQuestions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	kubernetes := l.front(t)
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{member(l.acme(t), "sees-few")})
	caller, err := authenticator.Caller(t.Context(), l.account(t, "sees-few", "viewer", "acme"))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := caller.Workspaces(t.Context())
	if err != nil || len(mine) != 1 || mine[0].Name != "acme" {
		t.Fatalf("it sees %d, %v", len(mine), err)
	}
	// Who calls, whether it may see all, and whether acme.
	if n := kubernetes.times(""); n > 3 {
		t.Errorf("the API server was asked %d times", n)
	}
}

// TestAWorkspaceThatIsNotListedOpens checks that the list of many workspaces leaves out one whose
// members do not include the caller, but that the caller's right counts.
func TestAWorkspaceThatIsNotListedOpens(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	authenticator := auth.New(l.env.Config, many{l.acme(t)})
	caller, err := authenticator.Caller(t.Context(), l.account(t, "bound-elsewhere", "viewer", "acme"))
	if err != nil {
		t.Fatal(err)
	}
	caller.Name = "bound-elsewhere" // and so not one of acme's own accounts
	if mine, err := caller.Workspaces(t.Context()); err != nil || len(mine) != 0 {
		t.Errorf("it sees %d, %v", len(mine), err)
	}
	if _, err := caller.Workspace(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
}

// TestAMemberInNameOnlySeesNothing checks that RBAC gives rights, and the spec of a Workspace does
// not.
func TestAMemberInNameOnlySeesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	authenticator := auth.New(l.env.Config, many{member(l.acme(t), "in-name-only")})
	caller, err := authenticator.Caller(t.Context(), l.account(t, "in-name-only", "viewer"))
	if err != nil {
		t.Fatal(err)
	}
	if mine, err := caller.Workspaces(t.Context()); err != nil || len(mine) != 0 {
		t.Errorf("it sees %d, %v", len(mine), err)
	}
}

func TestTokensOfAUserShareItsRights(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	first := l.account(t, "two-tokens", "viewer", "acme")
	second, err := l.env.Token(t.Context(), "workspace-acme", "two-tokens")
	if err != nil || first == second {
		t.Fatal(err)
	}
	kubernetes := l.front(t)
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{})
	for _, token := range []string{first, second} {
		caller, err := authenticator.Caller(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if may, err := caller.May(t.Context(), "workspace-acme", auth.Right{Verb: "list", Resource: "workspacejobs"}); err != nil || !may {
			t.Fatal(may, err)
		}
	}
	if n := kubernetes.times("selfsubjectaccessreviews"); n != 1 {
		t.Errorf("RBAC was asked %d times", n)
	}
}

// TestSharedRightsDoNotOutliveAToken rejects a token while another one of the same user is good,
// and its answers are fresh.
func TestSharedRightsDoNotOutliveAToken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.caller(t, l.account(t, "one-of-two", "viewer", "acme"))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: "one-of-two"}}
	if err := l.env.Client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	bound, err := l.clientset.CoreV1().ServiceAccounts("workspace-acme").CreateToken(t.Context(), "one-of-two", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	right := auth.Right{Verb: "list", Resource: "workspacejobs"}
	revoked := l.caller(t, bound.Status.Token)
	if err := revoked.StillMay(t.Context(), "workspace-acme", right); err != nil {
		t.Fatal(err)
	}
	if err := l.env.Client.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the revoked token is noticed", func(ctx context.Context) error {
		if err := good.StillMay(ctx, "workspace-acme", right); err != nil {
			t.Errorf("the other token: %v", err)
		}
		if err := revoked.StillMay(ctx, "workspace-acme", right); !errors.Is(err, auth.ErrUnauthenticated) {
			return fmt.Errorf("it got %v", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

func TestARejectedTokenIsRemembered(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	kubernetes := l.front(t)
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{})
	for range 5 {
		if _, err := authenticator.Caller(t.Context(), "made-up"); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if n := kubernetes.times(""); n != 1 {
		t.Errorf("the API server was asked %d times", n)
	}
}

// TestACallerTakesLittleMemory runs alone: it measures the process.
func TestACallerTakesLittleMemory(t *testing.T) { //nolint:paralleltest // others would allocate too
	const (
		callers = 1000
		most    = 8 << 10 // bytes
	)
	l := newLab(t)
	kubernetes := l.front(t)
	kubernetes.instead = l.account(t, "of-many-tokens", "viewer", "acme")
	authenticator := auth.New(&rest.Config{Host: kubernetes.url}, many{l.acme(t)})
	ask := func(i int) {
		caller, err := authenticator.Caller(t.Context(), fmt.Sprintf("token-%d-%s", i, kubernetes.instead))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := caller.Workspace(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := caller.In("workspace-acme").Get(t.Context(), "no-such"); err == nil {
			t.Fatal("there is such a job")
		}
	}
	ask(callers)
	before := testenv.Heap()
	for i := range callers {
		ask(i)
	}
	used := (testenv.Heap() - before) / callers
	t.Logf("%d bytes for each caller", used)
	if used > most {
		t.Errorf("a caller takes %d bytes", used)
	}
	runtime.KeepAlive(authenticator)
}
