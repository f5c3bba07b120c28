package roles

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var (
	update = flag.Bool("update", false, "write the tables of docs/roles.md instead of comparing them")
	shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}
	tenant tenants
)

func TestMain(m *testing.M) {
	quiet := logr.FromSlogHandler(slog.DiscardHandler)
	ctrl.SetLogger(quiet)
	klog.SetLogger(quiet)
	os.Exit(shared.Run(m))
}

const (
	// own is the namespace of the workspace whose members are asked of.
	own = "workspace-acme"
	// other is another workspace's.
	other = "workspace-globex"
	// staff is a namespace outside of both, with the members' ServiceAccounts.
	staff = "staff"
	// clusterWide is no namespace: all of them, what belongs to none, and URLs.
	clusterWide = ""
	// databaseURL is what nobody may see.
	databaseURL = "postgres://acme:the-password@192.0.2.10:5432/acme"
)

// identity is somebody of whom the API server is asked.
type identity struct {
	name   string
	user   string
	groups []string
}

// The members are users of whom the API server knows nothing but their roles. Two
// more are for comparison: a stranger shows what everybody may, and a cluster admin
// that each question can be answered with yes.
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

// tenants are two workspaces in a cluster where the operator runs, with its own rights:
// what a member gets is what it binds.
type tenants struct {
	once sync.Once
	env  *testenv.Env
}

// get makes them, once for all tests.
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
		makeWorkspace(t, env, "globex", []identity{person("somebody else")})
		s.env = env
	})
	if s.env == nil {
		t.Fatal("the workspaces were not made, as another test tells")
	}
	return s.env
}

// makeWorkspace brings a workspace with its members to Ready. Each member is a user,
// and a ServiceAccount that a test has a token of.
func makeWorkspace(t *testing.T, env *testenv.Env, name string, members []identity) {
	t.Helper()
	ws := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "database"}, Egress: []v1alpha1.EgressRule{{}}},
			Runner:   v1alpha1.Runner{Image: "registry.example.net/runner:1"},
			// The jobs that are tried are not run.
			Suspend: true,
		},
	}
	for i, role := range []v1alpha1.MemberRole{v1alpha1.RoleViewer, v1alpha1.RoleEditor, v1alpha1.RoleAdmin}[:len(members)] {
		ws.Spec.Members = append(ws.Spec.Members, v1alpha1.Member{Role: role, Subjects: []rbacv1.Subject{
			{Kind: rbacv1.UserKind, Name: members[i].user},
			{Kind: rbacv1.ServiceAccountKind, Namespace: staff, Name: accountOf(members[i])},
		}})
	}
	create(t, env, ws)
	endMigration(t, env, ws)
	testenv.Eventually(t, "Workspace "+name+" is ready", func(ctx context.Context) error {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(ws), ws); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("its conditions are %v", ws.Status.Conditions)
		}
		return nil
	})
	create(t, env, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ws.NamespaceName(), Name: "database"},
		StringData: map[string]string{"url": databaseURL},
	})
}

// endMigration plays the kubelet for the one Job that there is.
func endMigration(t *testing.T, env *testenv.Env, ws *v1alpha1.Workspace) {
	t.Helper()
	var jobs batchv1.JobList
	testenv.Eventually(t, "the migration has a Job", func(ctx context.Context) error {
		err := env.Client.List(ctx, &jobs, client.InNamespace(ws.NamespaceName()))
		if err == nil && len(jobs.Items) != 1 {
			err = fmt.Errorf("%d Jobs", len(jobs.Items))
		}
		return err
	})
	env.EndPod(t, env.PodOf(t, &jobs.Items[0]), 0, `{"result":{"schemaVersion":7}}`)
}

func create(t *testing.T, env *testenv.Env, object client.Object) {
	t.Helper()
	if err := env.Client.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
}

// as is a client's configuration for the identity.
func as(env *testenv.Env, who identity) *rest.Config { return env.As(who.user, who.groups...) }
