package rest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// heartbeat is the interval of heartbeats of streams in tests.
const heartbeat = 300 * time.Millisecond

// account is a ServiceAccount that calls, by its namespace and name.
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
	// job does what its arguments say, or else succeeds.
	env *testenv.Env
	// directory is the list of the workspaces, as the server has it.
	directory *auth.Informer
	// address is that of the server under test.
	address string
	tokens  = map[account]string{}
)

var shared = testenv.Shared{Options: testenv.Options{Node: true, Policies: true}}

// stops has functions that end what start started. The newest is called first.
var stops []func()

func TestMain(m *testing.M) {
	var err error
	if described, err = newDescription("../../docs/openapi.yaml"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := shared.RunStarted(m, start, func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	})
	// Only all tests together ask for every operation.
	if code == 0 && !testing.Short() && flag.Lookup("test.run").Value.String() == "" {
		if err := described.unasked(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func start(ctx context.Context, started *testenv.Env) error {
	env = started
	// All of it outlives the start.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	stops = append(stops, stop)
	if err := makeTenants(ctx); err != nil {
		return err
	}
	var err error
	if directory, err = auth.NewInformer(env.Config); err != nil {
		return err
	}
	go func() { _ = directory.Run(running) }()
	if !directory.Ready(ctx) {
		return errors.New("the list of Workspaces is not read")
	}
	server := httptest.NewServer(rest.Handler(auth.New(env.Config, directory), rest.WithHeartbeat(heartbeat)))
	stops = append(stops, func() { server.CloseClientConnections(); server.Close() })
	address = server.URL
	return nil
}

// makeTenants makes the workspaces and the accounts that call. The last workspace has room
// for two jobs.
func makeTenants(ctx context.Context) error {
	if err := env.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "people"}}); err != nil {
		return err
	}
	for _, ws := range []*objects.WorkspaceBuilder{
		objects.MakeWorkspace("acme").
			MemberSubjects(v1alpha1.RoleEditor, app.subject(), single.subject(), several.subject(), leaver.subject(), fired.subject()).
			MemberSubjects(v1alpha1.RoleViewer, reader.subject()),
		objects.MakeWorkspace("globex").MemberSubjects(v1alpha1.RoleEditor, neighbour.subject(), several.subject()),
		objects.MakeWorkspace("initech").MemberSubjects(v1alpha1.RoleEditor, full.subject()).
			Quota(corev1.ResourceList{"count/workspacejobs.jobs.openradius.io": resource.MustParse("2")}),
	} {
		if err := env.MakeReady(ctx, ws.Obj()); err != nil {
			return err
		}
	}
	for _, who := range []account{app, reader, neighbour, single, several, stranger, leaver, fired, full} {
		if err := env.MakeAccount(ctx, who.namespace, who.name); err != nil {
			return err
		}
		token, err := env.Token(ctx, who.namespace, who.name)
		if err != nil {
			return err
		}
		tokens[who] = token
	}
	return nil
}

func (a account) subject() rbacv1.Subject { return objects.Account(a.namespace, a.name) }
