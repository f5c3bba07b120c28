package attacks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{Node: true, Policies: true}}

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// tenant is a workspace, with clients of those who would abuse it.
type tenant struct {
	*testing.T
	name, namespace string
	// admin is a cluster admin. editor may write the tenant's jobs and nothing else.
	// insider has all rights in the namespace, which no role of a workspace gives. The
	// admission policies bind all three, but not kubernetes.
	admin, editor, insider, kubernetes client.Client
}

func newTenant(t *testing.T, name string, options ...func(*v1alpha1.Workspace)) *tenant {
	t.Helper()
	env := shared.Env(t)
	shared.Operator(t)
	tn := &tenant{T: t, name: name, admin: env.Client}
	tn.editor, tn.insider = tn.as(name+"-editor"), tn.as(name+"-insider")
	tn.kubernetes = tn.as("system:serviceaccount:kube-system:job-controller", "system:masters", "system:serviceaccounts:kube-system")
	ws := objects.MakeWorkspace(name).Member(v1alpha1.RoleEditor, name+"-editor").Obj()
	for _, option := range options {
		option(ws)
	}
	tn.namespace = ws.NamespaceName()
	if err := env.MakeReady(t.Context(), ws); err != nil {
		t.Fatal(errors.Join(err, shared.Operator(t).Alive()))
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: "insider"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name + "-insider"}},
	}
	if err := tn.admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the rights are in force", func(ctx context.Context) error {
		return errors.Join(tn.editor.List(ctx, &v1alpha1.WorkspaceJobList{}, client.InNamespace(tn.namespace)),
			tn.insider.List(ctx, &corev1.SecretList{}, client.InNamespace(tn.namespace)))
	})
	return tn
}

func (tn *tenant) as(user string, groups ...string) client.Client {
	tn.Helper()
	env := shared.Env(tn)
	c, err := env.ClientAs(user, groups...)
	if err != nil {
		tn.Fatal(err)
	}
	return c
}

// job is one that the tenant has a right to.
func (tn *tenant) job(name string) *v1alpha1.WorkspaceJob {
	return objects.MakeWorkspaceJob(name).In(tn.namespace).Args(`{}`).Obj()
}

// waitState waits until the job is in a state, and returns it.
func (tn *tenant) waitState(name string, want v1alpha1.JobState) *v1alpha1.WorkspaceJob {
	tn.Helper()
	return tn.waitJob(name, "is "+string(want), func(job *v1alpha1.WorkspaceJob) bool { return job.Status.State == want })
}

func (tn *tenant) waitJob(name, what string, wanted func(*v1alpha1.WorkspaceJob) bool) *v1alpha1.WorkspaceJob {
	tn.Helper()
	job := &v1alpha1.WorkspaceJob{}
	testenv.Eventually(tn, name+" "+what, func(ctx context.Context) error {
		if err := tn.admin.Get(ctx, client.ObjectKey{Namespace: tn.namespace, Name: name}, job); err != nil {
			return err
		}
		if !wanted(job) {
			return errors.Join(fmt.Errorf("%+v", job.Status), shared.Operator(tn).Alive())
		}
		return nil
	})
	return job
}

// stalledBy waits until the job reports that another object is in the way.
func (tn *tenant) stalledBy(name string) *v1alpha1.WorkspaceJob {
	tn.Helper()
	return tn.waitJob(name, "is Stalled: NameTaken", func(job *v1alpha1.WorkspaceJob) bool {
		condition := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionStalled)
		return condition != nil && condition.Status == metav1.ConditionTrue && condition.Reason == v1alpha1.ReasonNameTaken
	})
}

// attempt waits for the first attempt's Job and returns it.
func (tn *tenant) attempt(name string) *batchv1.Job {
	tn.Helper()
	child := &batchv1.Job{}
	testenv.Eventually(tn, name+" has its Job", func(ctx context.Context) error {
		return tn.admin.Get(ctx, client.ObjectKey{Namespace: tn.namespace, Name: name + "-1"}, child)
	})
	return child
}

// loose returns a job with fields that its kind does not have.
func (tn *tenant) loose(name string, fields map[string]any) *unstructured.Unstructured {
	spec := map[string]any{"handler": "sql"}
	for field, value := range fields {
		spec[field] = value
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetAPIVersion(v1alpha1.GroupVersion.String())
	object.SetKind("WorkspaceJob")
	object.SetNamespace(tn.namespace)
	object.SetName(name)
	return object
}
