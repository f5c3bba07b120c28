package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// Tests and examples share a control plane with a simulated node, on which every job
// succeeds, the operator, and two workspaces.
var (
	env *testenv.Env
	// config is an editor's of the workspace acme, and nobody's of globex.
	config *rest.Config
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
	if err := errors.Join(err, stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func start(ctx context.Context) (stop func() error, err error) {
	var operator *testenv.Operator
	if env, operator, stop, err = testenv.StartOperated(ctx, testenv.Options{SimulatedNode: true, Policies: true}); err != nil {
		return stop, err
	}
	config = env.As("ana", "system:authenticated")
	for workspace, editor := range map[string]string{"acme": "ana", "globex": "gus"} {
		if err := makeWorkspace(ctx, workspace, editor); err != nil {
			return stop, errors.Join(err, operator.Alive())
		}
	}
	return stop, nil
}

func makeWorkspace(ctx context.Context, name, editor string) error {
	ws := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "database"}, Egress: []v1alpha1.EgressRule{{}}},
			Runner:   v1alpha1.Runner{Image: "registry.example.net/runner:1"},
			Members:  []v1alpha1.Member{{Role: v1alpha1.RoleEditor, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: editor}}}},
		},
	}
	if err := env.Client.Create(ctx, ws); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, testenv.PollLimit, true, func(ctx context.Context) (bool, error) {
		err := env.Client.Get(ctx, kube.ObjectKeyFromObject(ws), ws)
		return err == nil && meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady), err
	})
}
