package client_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// Tests and examples share a control plane with a simulated node, on which every job
// succeeds, the operator, and two workspaces.
var (
	env *testenv.Env
	// config belongs to an editor of the workspace acme, who has no rights in globex.
	config *rest.Config
)

func TestMain(m *testing.M) { os.Exit(shared.RunStarted(m, start)) }

var shared = testenv.Shared{Options: testenv.Options{Node: true, Policies: true}}

// workspace returns a workspace as ana sees it.
func workspace(t *testing.T, name string) *client.Workspace {
	t.Helper()
	shared.Env(t)
	return client.New(config).For(name)
}

func start(ctx context.Context, started *testenv.Env) error {
	env, config = started, started.As("ana", "system:authenticated")
	return errors.Join(
		env.MakeReady(ctx, objects.MakeWorkspace("acme").Member(v1alpha1.RoleEditor, "ana").Obj()),
		env.MakeReady(ctx, objects.MakeWorkspace("globex").Member(v1alpha1.RoleEditor, "gus").Obj()),
	)
}
