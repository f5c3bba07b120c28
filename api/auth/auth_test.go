package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	jobs "github.com/openradius/workspace-jobs/api/client"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// lab is a cluster with the workspaces acme and globex, and one that has no namespace yet.
type lab struct {
	env           *testenv.Env
	clientset     *kubernetes.Clientset
	authenticator *auth.Authenticator
}

var (
	once   sync.Once
	opened lab
)

func newLab(t *testing.T) lab {
	t.Helper()
	env := shared.Env(t)
	once.Do(func() { opened = open(t, env) })
	return opened
}

func open(t *testing.T, env *testenv.Env) lab {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "globex", "coming"} {
		makeWorkspace(t, env, name)
	}
	informer, err := auth.NewInformer(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = informer.Run(context.Background()) }()
	if !informer.Ready(t.Context()) {
		t.Fatal("the Workspaces are not read")
	}
	l := lab{env: env, clientset: clientset, authenticator: auth.New(env.Config, informer)}
	testenv.Eventually(t, "the Workspaces have their namespaces", func(ctx context.Context) error {
		all, err := informer.All(ctx)
		if err == nil && (len(all) != 3 || all[0].Status.Namespace == "" || all[2].Status.Namespace == "") {
			err = fmt.Errorf("%+v", all)
		}
		return err
	})
	return l
}

func makeWorkspace(t *testing.T, env *testenv.Env, name string) {
	t.Helper()
	ws := objects.MakeWorkspace(name).Obj()
	if err := env.Client.Create(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	if name == "coming" {
		return
	}
	if err := env.Hold(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ws.NamespaceName()}}); err != nil {
		t.Fatal(err)
	}
}

// account makes a ServiceAccount in acme's namespace with a role in some workspaces, and
// returns a token of it.
func (l lab) account(t *testing.T, name string, role string, workspaces ...string) string {
	t.Helper()
	const home = "workspace-acme"
	if err := l.env.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: name}}); err != nil {
		t.Fatal(err)
	}
	for _, workspace := range workspaces {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-" + workspace, Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "workspace-jobs-" + role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: home, Name: name}},
		}
		if err := l.env.Client.Create(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
	}
	token, err := l.clientset.CoreV1().ServiceAccounts(home).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func (l lab) caller(t *testing.T, token string) *auth.Caller {
	t.Helper()
	caller, err := l.authenticator.Caller(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

func TestATokenIdentifiesItsCaller(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	token := l.account(t, "who", "viewer", "acme")
	if got := l.caller(t, token).Name; got != "system:serviceaccount:workspace-acme:who" {
		t.Errorf("it is %s", got)
	}
	for what, forged := range map[string]string{
		"none": "", "a word": "let-me-in", "another signature": token[:len(token)-6] + "AAAAAA", "a line end": token + "\nX-Remote-User: admin",
		"a part": token[:len(token)/2], "the admin's name": "system:admin",
	} {
		if caller, err := l.authenticator.Caller(t.Context(), forged); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", what, caller, err)
		}
	}
}

func TestARevokedTokenIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	token := l.account(t, "revoked", "viewer", "acme")
	caller := l.caller(t, token)
	if _, err := caller.In("workspace-acme").List(t.Context(), jobs.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: "revoked"}}
	if err := l.env.Client.Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	// A remembered caller is refused by the API server itself.
	testenv.Eventually(t, "the token is refused", func(ctx context.Context) error {
		if _, err := caller.In("workspace-acme").List(ctx, jobs.ListOptions{}); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("the list answers %w", errors.Join(err, errors.New("it is accepted")))
		}
		return nil
	})
	l.authenticator.Forget(token)
	if _, err := l.authenticator.Caller(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("it can still call: %v", err)
	}
}

func TestACallerSeesItsOwnWorkspacesOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, c := range map[string]struct {
		in   []string
		want string
	}{
		"sees-none": {nil, ""}, "sees-acme": {[]string{"acme"}, "acme"}, "sees-globex": {[]string{"globex"}, "globex"}, "sees-both": {[]string{"acme", "globex"}, "acme globex"},
	} {
		caller := l.caller(t, l.account(t, name, "editor", c.in...))
		var names []string
		testenv.Eventually(t, name+" sees what it should", func(ctx context.Context) error {
			mine, err := caller.Workspaces(ctx)
			names = nil
			for _, ws := range mine {
				names = append(names, ws.Name)
			}
			if got := strings.Join(names, " "); err == nil && got != c.want {
				err = fmt.Errorf("it sees %q", got)
			}
			return err
		})
		for _, workspace := range []string{"acme", "globex", "coming", "no-such", "../acme", ""} {
			found, err := caller.Workspace(t.Context(), workspace)
			may := workspace != "" && strings.Contains(c.want, workspace)
			if may != (err == nil) || !may && (found != nil || err.Error() != auth.ErrNoWorkspace.Error()) {
				t.Errorf("%s: %q is %v, %v", name, workspace, found, err)
			}
		}
		home, err := caller.Home(t.Context())
		if strings.Contains(c.want, "acme") != (err == nil) || err == nil && home.Name != "acme" {
			t.Errorf("%s lives in %v, %v", name, home, err)
		}
	}
}

func TestWhatACallerMayDo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	viewer, editor := l.caller(t, l.account(t, "may-view", "viewer", "acme")), l.caller(t, l.account(t, "may-edit", "editor", "acme"))
	for _, c := range []struct {
		namespace string
		right     auth.Right
		viewer    bool
		editor    bool
	}{
		{"workspace-acme", auth.Right{Verb: "list", Resource: "workspacejobs"}, true, true},
		{"workspace-acme", auth.Right{Verb: "create", Resource: "workspacejobs"}, false, true},
		{"workspace-acme", auth.Right{Verb: "patch", Resource: "workspacerecurringjobs"}, false, true},
		{"workspace-acme", auth.Right{Verb: "get", Resource: "pods/log"}, true, true},
		{"workspace-acme", auth.Right{Verb: "list", Resource: "pods"}, true, true},
		{"workspace-acme", auth.Right{Verb: "delete", Resource: "pods"}, false, false},
		{"workspace-acme", auth.Right{Verb: "patch", Resource: "workspacejobs/status"}, false, false},
		{"workspace-globex", auth.Right{Verb: "list", Resource: "workspacejobs"}, false, false},
		{"", auth.Right{Verb: "list", Resource: "workspacejobs"}, false, false},
	} {
		for caller, want := range map[*auth.Caller]bool{viewer: c.viewer, editor: c.editor} {
			got, err := caller.May(t.Context(), c.namespace, c.right)
			if err != nil || got != want {
				t.Errorf("%s: %v in %q: %t, %v", caller.Name, c.right, c.namespace, got, err)
			}
		}
	}
	if _, err := viewer.In("workspace-acme").Enqueue(t.Context(), "sql", nil); !apierrors.IsForbidden(err) {
		t.Errorf("a viewer may enqueue: %v", err)
	}
	if _, err := editor.In("workspace-acme").Enqueue(t.Context(), "sql", nil); err != nil {
		t.Errorf("an editor may not enqueue: %v", err)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{"Bearer abc": "abc", "bearer abc": "abc", "Basic abc": "", "Bearer": "", "": "", "abc": ""} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Authorization", header)
		if got := auth.Bearer(request); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
}
