// Package uninstall holds a test of what stays when the operator is removed, after the
// Workspaces or before them. The operator has a namespace with an unusual name: anything that
// relies on the usual one fails here.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true, Node: true, Policies: true, Namespace: "elsewhere"}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// release is the patch of docs/install.md that lets a Workspace go without the operator.
const release = `{"metadata":{"finalizers":null}}`

// TestWorkspacesCanAlwaysBeRemoved deletes one Workspace while the operator runs. Then it stops
// the operator and deletes the CRD, and with it two more: an admin lets one of them go, the
// operator the other when it is back.
func TestWorkspacesCanAlwaysBeRemoved(t *testing.T) {
	t.Parallel()
	env, operator := shared.Env(t), shared.Operator(t)
	workspaces := map[string]*v1alpha1.Workspace{}
	for _, name := range []string{"orderly", "released", "returned"} {
		ws := objects.MakeWorkspace(name).Obj()
		ws.Spec.Network = &v1alpha1.Network{WaitForFence: true}
		if err := env.MakeReady(t.Context(), ws); err != nil {
			t.Fatal(errors.Join(err, operator.Alive()))
		}
		workspaces[name] = ws
	}
	mimic, err := env.ClientAs(testenv.ManagerUser, "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if err := mimic.Create(t.Context(), account(workspaces["orderly"].NamespaceName())); !apierrors.IsForbidden(err) {
		t.Errorf("an account with the operator's usual name may write what belongs to the operator: %v", err)
	}
	if err := env.Client.Delete(t.Context(), workspaces["orderly"]); err != nil {
		t.Fatal(err)
	}
	goes(t, workspaces["orderly"])

	if err := operator.Stop(); err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
	crd.SetName("workspaces." + v1alpha1.Group)
	if err := env.Client.Delete(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"released", "returned"} {
		testenv.Eventually(t, "Workspace "+name+" is being deleted", func(ctx context.Context) error {
			ws := workspaces[name]
			if err := env.Client.Get(ctx, client.ObjectKeyFromObject(ws), ws); err != nil {
				return err
			}
			if ws.DeletionTimestamp.IsZero() {
				return errors.New("it is not")
			}
			return nil
		})
	}
	if err := env.Client.Patch(t.Context(), workspaces["released"], client.RawPatch(types.MergePatchType, []byte(release))); err != nil {
		t.Fatal(err)
	}
	goes(t, workspaces["released"])
	if err := operator.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	goes(t, crd)
	for _, ws := range workspaces {
		goes(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ws.NamespaceName()}})
	}
}

func account(namespace string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.RunnerServiceAccount}}
}

// goes waits until the object no longer exists.
func goes(t *testing.T, object client.Object) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%T %s is gone", object, object.GetName()), func(ctx context.Context) error {
		err := shared.Env(t).Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
}

func TestDocsSayHowToLetAWorkspaceGo(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"install", "workspace"} {
		text, err := os.ReadFile("../../../docs/" + page + ".md")
		if err != nil || !strings.Contains(string(text), release) {
			t.Errorf("docs/%s.md does not have %s: %v", page, release, err)
		}
	}
}
