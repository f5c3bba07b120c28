package testenv_test

import (
	"os"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{Node: true}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func TestEverythingIsInstalled(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	if err := env.Client.List(t.Context(), &v1alpha1.WorkspaceList{}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"workspace-jobs-manager", "workspace-jobs-viewer", "workspace-jobs-editor", "workspace-jobs-admin"} {
		if err := env.Client.Get(t.Context(), client.ObjectKey{Name: name}, &rbacv1.ClusterRole{}); err != nil {
			t.Error(err)
		}
	}
}

func TestAsHoldsToRBAC(t *testing.T) {
	t.Parallel()
	env := shared.Env(t)
	nobody, err := env.ClientAs("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.List(t.Context(), &v1alpha1.WorkspaceList{}); err == nil {
		t.Error("a user without rights may list Workspaces")
	}
}
