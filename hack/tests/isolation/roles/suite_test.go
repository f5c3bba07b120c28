package roles

import (
	"flag"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var (
	update = flag.Bool("update", false, "write the tables of docs/roles.md instead of comparing them")
	shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}
	tenant tenants
)

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

const (
	// own is the namespace of the members' workspace.
	own = "workspace-acme"
	// other is the namespace of another workspace.
	other = "workspace-globex"
	// staff is a namespace outside both, with the members' ServiceAccounts.
	staff = "staff"
	// clusterWide is not a namespace: it stands for all namespaces, objects without one,
	// and URLs.
	clusterWide = ""
	// databaseURL is the URL that nobody may see.
	databaseURL = "postgres://acme:the-password@192.0.2.10:5432/acme"
)

// identity is a user or ServiceAccount that the questions are about.
type identity struct {
	name   string
	user   string
	groups []string
}

// The members are users with nothing but their roles. Two more users are for comparison: a
// stranger shows what everybody may do, and a cluster admin that the answer to each question
// can be yes.
var (
	viewer       = person("Viewer")
	editor       = person("Editor")
	admin        = person("Admin")
	stranger     = person("stranger")
	clusterAdmin = person("cluster admin")
	runner       = identity{
		name: "runner", user: "system:serviceaccount:" + own + ":" + v1alpha1.RunnerServiceAccount,
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + own, "system:authenticated"},
	}

	members    = []identity{viewer, editor, admin}
	identities = []identity{viewer, editor, admin, runner, stranger, clusterAdmin}
)

func person(name string) identity {
	return identity{name: name, user: name + "@example.net", groups: []string{"system:authenticated"}}
}

// tenants are two workspaces in a cluster. The operator runs there with its own rights, so
// members have the rights that it grants.
type tenants struct {
	once sync.Once
	env  *testenv.Env
}

// get creates the workspaces, once for all tests together.
func (s *tenants) get(t *testing.T) *testenv.Env {
	t.Helper()
	env := shared.Env(t)
	shared.Operator(t)
	s.once.Do(func() {
		create(t, env, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: staff}})
		create(t, env, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "for-comparison"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: clusterAdmin.user}},
		})
		makeWorkspace(t, env, "acme", members)
		makeWorkspace(t, env, "globex", []identity{person("other viewer")})
		s.env = env
	})
	if s.env == nil {
		t.Fatal("the workspaces were not created: see the failure of another test")
	}
	return s.env
}

// makeWorkspace creates a workspace with members and waits until it is Ready. Each member is
// a user and a ServiceAccount, for which a test can get a token.
func makeWorkspace(t *testing.T, env *testenv.Env, name string, members []identity) {
	t.Helper()
	made := objects.MakeWorkspace(name).Suspend() // jobs of the tests should not run
	for i, role := range []v1alpha1.MemberRole{v1alpha1.RoleViewer, v1alpha1.RoleEditor, v1alpha1.RoleAdmin}[:len(members)] {
		made.MemberSubjects(role, rbacv1.Subject{Kind: rbacv1.UserKind, Name: members[i].user}, objects.Account(staff, accountOf(members[i])))
	}
	ws := made.Obj()
	create(t, env, ws)
	env.EndMigration(t, ws)
	if err := env.WaitReady(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	create(t, env, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ws.NamespaceName(), Name: "database"},
		StringData: map[string]string{"url": databaseURL},
	})
}

func create(t *testing.T, env *testenv.Env, object client.Object) {
	t.Helper()
	if err := env.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
}

// as returns a client configuration for the identity.
func as(env *testenv.Env, who identity) *rest.Config { return env.As(who.user, who.groups...) }
