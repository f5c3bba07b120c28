package rest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// heartbeat of streams in tests.
const heartbeat = 300 * time.Millisecond

// account is a ServiceAccount that calls: namespace and name.
type account struct{ namespace, name string }

var (
	// app and reader live in acme's namespace, neighbour in globex'.
	app       = account{"workspace-acme", "app"}
	reader    = account{"workspace-acme", "reader"}
	neighbour = account{"workspace-globex", "neighbour"}
	// The others live elsewhere. single is a member of acme, several of acme and globex,
	// stranger of none; leaver, fired and full have tests of their own.
	single   = account{"people", "single"}
	several  = account{"people", "several"}
	stranger = account{"people", "stranger"}
	leaver   = account{"people", "leaver"}
	fired    = account{"people", "fired"}
	full     = account{"people", "full"}

	// Tests share a control plane, the operator, workspaces and a played node, on which a
	// job does what its arguments say: others succeed.
	env  *testenv.Env
	node *testenv.Node
	// directory of the workspaces, as the server has it.
	directory *auth.Informer
	// address of the server under test.
	address string
	tokens  = map[account]string{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	stop, err := start(ctx)
	code := 1
	if err == nil {
		code = m.Run()
	}
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		err = described.unasked()
	}
	if err := errors.Join(err, stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func start(ctx context.Context) (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var all error
		for i := len(stops) - 1; i >= 0; i-- {
			all = errors.Join(all, stops[i]())
		}
		return all
	}
	if described, err = newDescription("../../docs/openapi.yaml"); err != nil {
		return stop, err
	}
	started, operator, end, err := testenv.StartOperated(ctx, testenv.Options{ControllerManager: true, Policies: true})
	stops = append(stops, end)
	if err != nil {
		return stop, err
	}
	env = started
	playing, leave := context.WithCancel(ctx)
	stops = append(stops, func() error { leave(); return nil })
	if node, err = testenv.PlayNode(playing, env); err != nil {
		return stop, err
	}
	if err := makeTenants(ctx); err != nil {
		return stop, errors.Join(err, operator.Alive())
	}
	if directory, err = auth.NewInformer(env.Config); err != nil {
		return stop, err
	}
	informing, forget := context.WithCancel(ctx)
	go func() { _ = directory.Run(informing) }()
	stops = append(stops, func() error { forget(); return nil })
	if !directory.Ready(ctx) {
		return stop, errors.New("the list of Workspaces is not read")
	}
	server := httptest.NewServer(rest.Handler(auth.New(env.Config, directory), rest.WithHeartbeat(heartbeat)))
	stops = append(stops, func() error { server.CloseClientConnections(); server.Close(); return nil })
	address = server.URL
	return stop, nil
}

// makeTenants makes the workspaces and whoever calls. The last one has room for two jobs.
func makeTenants(ctx context.Context) error {
	if err := env.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "people"}}); err != nil {
		return err
	}
	members := map[string][]v1alpha1.Member{
		"acme":    {member(v1alpha1.RoleEditor, app, single, several, leaver, fired), member(v1alpha1.RoleViewer, reader)},
		"globex":  {member(v1alpha1.RoleEditor, neighbour, several)},
		"initech": {member(v1alpha1.RoleEditor, full)},
	}
	for _, workspace := range []string{"acme", "globex", "initech"} {
		if err := makeWorkspace(ctx, workspace, members[workspace]); err != nil {
			return err
		}
	}
	clientset, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		return err
	}
	for _, who := range []account{app, reader, neighbour, single, several, stranger, leaver, fired, full} {
		object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: who.namespace, Name: who.name}}
		if err := env.Client.Create(ctx, object); err != nil {
			return err
		}
		token, err := clientset.CoreV1().ServiceAccounts(who.namespace).CreateToken(ctx, who.name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		tokens[who] = token.Status.Token
	}
	return nil
}

func member(role v1alpha1.MemberRole, accounts ...account) v1alpha1.Member {
	m := v1alpha1.Member{Role: role}
	for _, each := range accounts {
		m.Subjects = append(m.Subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: each.namespace, Name: each.name})
	}
	return m
}

func makeWorkspace(ctx context.Context, name string, members []v1alpha1.Member) error {
	ws := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "database"}, Egress: []v1alpha1.EgressRule{{}}},
			Runner:   v1alpha1.Runner{Image: "registry.example.net/runner:1"},
			Members:  members,
		},
	}
	if name == "initech" {
		ws.Spec.Quota = corev1.ResourceList{"count/workspacejobs.jobs.openradius.io": resource.MustParse("2")}
	}
	if err := env.Client.Create(ctx, ws); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, testenv.PollLimit, true, func(ctx context.Context) (bool, error) {
		err := env.Client.Get(ctx, kube.ObjectKeyFromObject(ws), ws)
		return err == nil && meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady), err
	})
}
