package policies

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const image = objects.Image

var (
	shared  = testenv.Shared{Options: testenv.Options{ControllerManager: true, Policies: true}}
	inForce sync.Once
)

func TestMain(m *testing.M) { os.Exit(checkSharpness(shared.Run(m))) }

// cluster is the API server, with clients of several users.
type cluster struct {
	*testing.T
	// admin is a cluster admin, whom the policies bind, too. operator has the operator's
	// name and rights.
	admin, operator client.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	env := shared.Env(t)
	c := &cluster{T: t, admin: env.Client, operator: newClient(t, env.As(testenv.ManagerUser, serviceAccounts("workspace-jobs-system")...))}
	inForce.Do(c.waitInForce)
	return c
}

// serviceAccounts are the groups of a namespace's ServiceAccounts.
func serviceAccounts(namespace string) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
}

// unrestricted returns a client for a user of this name to whom RBAC allows everything, so
// that only a policy can refuse what they do.
func (c *cluster) unrestricted(user string, groups ...string) client.Client {
	c.Helper()
	return newClient(c, shared.Env(c).As(user, append(groups, "system:masters")...))
}

func newClient(t testing.TB, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: shared.Env(t).Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return testenv.RetryCreate(c)
}

// waitInForce waits until the API server enforces the policies, which it does some time
// after it created them and the kind that one of them reads.
func (c *cluster) waitInForce() {
	c.Helper()
	home := c.workspace("in-force", image)
	for what, attempt := range map[string]func(context.Context) error{
		"status": func(ctx context.Context) error {
			ws := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "in-force"}}
			return c.admin.Status().Patch(ctx, ws, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"namespace":"x"}}`)), client.DryRunAll)
		},
		"finalizers": func(ctx context.Context) error {
			kept := objects.MakeWorkspaceJob("kept").In(home).Obj()
			kept.Finalizers = []string{"example.net/keep"}
			return c.admin.Create(ctx, kept, client.DryRunAll)
		},
		"operator-workspaces": func(ctx context.Context) error {
			ws := &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: "in-force"}}
			return c.operator.Patch(ctx, ws, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"mine":"yes"}}}`)), client.DryRunAll)
		},
		"images": func(ctx context.Context) error {
			return c.admin.Create(ctx, namespaceOf("in-force", "workspace-in-force2", "other:1"), client.DryRunAll)
		},
		"operator-namespaces": func(ctx context.Context) error {
			return c.operator.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "in-force-2"}}, client.DryRunAll)
		},
		"operator-jobs": func(ctx context.Context) error {
			return c.operator.Create(ctx, job(home, func(j *jobParts) { j.pod.ServiceAccountName = "default" }), client.DryRunAll)
		},
		"fence-check": func(ctx context.Context) error {
			return c.operator.Create(ctx, checked(home, func(check *corev1.Container) { check.Image = "other:1" }), client.DryRunAll)
		},
		"operator-fences": func(ctx context.Context) error {
			return c.operator.Create(ctx, account("default", "runner"), client.DryRunAll)
		},
		"sizes": func(ctx context.Context) error {
			large := objects.MakeWorkspaceJob("in-force").In(home).ArgsOf(map[string]string{"a": strings.Repeat("x", 70<<10)}).Obj()
			return c.admin.Create(ctx, large, client.DryRunAll)
		},
		"authors": func(ctx context.Context) error {
			return c.admin.Create(ctx, objects.MakeWorkspaceJob("in-force").In(home).With(func(job *v1alpha1.WorkspaceJob) {
				job.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "somebody"}
			}).Obj(), client.DryRunAll)
		},
		"managed-objects": func(ctx context.Context) error { return c.admin.Create(ctx, account(home, "runner"), client.DryRunAll) },
		"workspace-namespaces": func(ctx context.Context) error {
			return c.admin.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: home}},
				client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)), client.DryRunAll)
		},
	} {
		testenv.Eventually(c, "the policy "+what+" is in force", func(ctx context.Context) error {
			if err := attempt(ctx); err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
				return errors.Join(errors.New("it allows what it should refuse"), err)
			}
			return nil
		})
	}
}

// workspace creates a Workspace and, as the operator, its namespace. It returns the name of
// the namespace.
func (c *cluster) workspace(name, image string) string {
	c.Helper()
	return c.workspaceIn(tenant(name).Image(image).Obj())
}

// workspaceIn is like workspace, for a Workspace that may name its namespace.
func (c *cluster) workspaceIn(ws *v1alpha1.Workspace) string {
	c.Helper()
	name := ws.Name
	if err := c.admin.Create(c.Context(), ws); err != nil {
		c.Fatal(err)
	}
	testenv.Eventually(c, "the policy on images has seen the Workspace "+name, func(ctx context.Context) error {
		err := c.operator.Create(ctx, namespaceOf(name, ws.NamespaceName(), "unknown:0"), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "workspace-jobs-runner-images") {
			return errors.Join(errors.New("it has not"), err)
		}
		return nil
	})
	namespace := namespaceOf(name, ws.NamespaceName(), ws.Spec.Runner.Image)
	namespace.OwnerReferences[0].UID = ws.UID
	testenv.Eventually(c, "namespace "+namespace.Name, func(ctx context.Context) error {
		return c.operator.Create(ctx, namespace.DeepCopy())
	})
	return namespace.Name
}

// namespaceOf returns a namespace as the operator creates it for a Workspace.
func namespaceOf(workspace, name, image string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		Labels: map[string]string{
			v1alpha1.LabelWorkspace: workspace, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.37",
		},
		Annotations: runnerjob.Permits(tenant(workspace).Image(image).Obj()),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Workspace", Name: workspace, UID: "not-made-yet", Controller: new(true),
		}},
	}}
}

// accepted fails the test if the write was refused.
func (c *cluster) accepted(what string, err error) {
	c.Helper()
	if err != nil {
		c.Errorf("%s is refused: %v", what, err)
	}
}

// refused fails the test unless the policy refused the write with a message that contains
// words.
func (c *cluster) refused(what, policy, words string, err error) {
	c.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(fmt.Sprint(err), "ValidatingAdmissionPolicy '"+policy+"'") || !strings.Contains(fmt.Sprint(err), words) {
		c.Errorf("%s is not refused by %s with %q, but: %v", what, policy, words, err)
		return
	}
	remember(policy, err)
}
