package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	runnerPolicy  = "workspace-jobs-runner"
	editorBinding = "workspace-jobs-editor"
)

func withEditor(name string) func(*v1alpha1.Workspace) {
	return func(ws *v1alpha1.Workspace) {
		ws.Spec.Members = []v1alpha1.Member{{
			Role: v1alpha1.RoleEditor, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
		}}
	}
}

func TestDriftIsPutBack(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "drift", withEditor("ann"))
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: runnerPolicy}}
	if err := shared.client.Get(t.Context(), keyOf(policy), policy); err != nil {
		t.Fatal(err)
	}
	before := policy.DeepCopy()
	policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}} // to everywhere
	if err := shared.client.Update(t.Context(), policy.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("a cluster admin opens a NetworkPolicy of the operator: %v", err)
	}
	kubernetes := asKubernetes(t)
	if err := kubernetes.Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the NetworkPolicy is restored", func(ctx context.Context) error {
		if err := shared.client.Get(ctx, keyOf(policy), policy); err != nil {
			return err
		}
		if got, want := fmt.Sprint(policy.Spec), fmt.Sprint(before.Spec); len(policy.Spec.Egress) != len(before.Spec.Egress) {
			return fmt.Errorf("it is %s, not %s", got, want)
		}
		return nil
	})

	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: editorBinding}}
	if err := kubernetes.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the RoleBinding is put back", func(ctx context.Context) error {
		if err := shared.client.Get(ctx, keyOf(binding), binding); err != nil {
			return err
		}
		if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool { return s.Name == "ann" }) {
			return fmt.Errorf("its subjects are %v", binding.Subjects)
		}
		return nil
	})

	ws, err := tn.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	members := client.MergeFrom(ws.DeepCopy())
	ws.Spec.Members = nil
	if err := shared.client.Patch(t.Context(), ws, members); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "nobody is an editor any more", func(ctx context.Context) error {
		return wantNotFound(shared.client.Get(ctx, keyOf(binding), binding))
	})
}

func TestEditorIsKeptToJobsOfTheOwnWorkspace(t *testing.T) {
	t.Parallel()
	own := newTenantWithEffects(t, "editors-own", withEditor("eve"))
	other := newDatabase(t, "editors-other")
	other.makeNamespace(map[string]string{testLabel: "true"})
	other.giveSecret(other.url)
	eve := asUser(t, "eve")

	job := own.makeSQL("add", insertEffect).Obj()
	if err := eve.Create(t.Context(), job); err != nil {
		t.Fatalf("an editor can't create a job: %v", err)
	}
	own.waitFinal("add", v1alpha1.StateSucceeded)
	own.wantEffects(1)

	meta := func(tn *tenant) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: tn.namespace, Name: "eves"} }
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: runnerImage}}, RestartPolicy: corev1.RestartPolicyNever}
	secret := client.ObjectKey{Namespace: own.namespace, Name: secretName}
	for what, err := range map[string]error{
		"read the Secret":         eve.Get(t.Context(), secret, &corev1.Secret{}),
		"list the Secrets":        eve.List(t.Context(), &corev1.SecretList{}, client.InNamespace(own.namespace)),
		"create a pod":            eve.Create(t.Context(), &corev1.Pod{ObjectMeta: meta(own), Spec: pod}),
		"create a Job":            eve.Create(t.Context(), &batchv1.Job{ObjectMeta: meta(own), Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}}),
		"create a RoleBinding":    eve.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta(own), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}}),
		"write a job's status":    eve.Status().Patch(t.Context(), job, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"message":"eve was here"}}`))),
		"change the Workspace":    eve.Patch(t.Context(), &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: own.name}}, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"members":[]}}`))),
		"create a job elsewhere":  eve.Create(t.Context(), other.makeSQL("eves", "SELECT 1").Obj()),
		"read the jobs elsewhere": eve.List(t.Context(), &v1alpha1.WorkspaceJobList{}, client.InNamespace(other.namespace)),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("an editor tries to %s: %v", what, err)
		}
	}
}

func TestDeletionRemovesAMadeNamespaceAndKeepsAnAdoptedOne(t *testing.T) {
	t.Parallel()
	made := newDatabase(t, "made")
	made.create()
	made.giveSecret(made.url)
	made.waitReady()
	adopted := newTenantWithEffects(t, "adopted")
	adopted.start(adopted.makeSQL("add", insertEffect))
	adopted.waitFinal("add", v1alpha1.StateSucceeded)
	for _, tn := range []*tenant{made, adopted} {
		shared.checkSecrets(t, tn.namespace)
		remove(t, &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: tn.name}})
	}

	namespace := &corev1.Namespace{}
	testenv.Eventually(t, "the made namespace is gone", func(ctx context.Context) error {
		return wantNotFound(shared.client.Get(ctx, client.ObjectKey{Name: made.namespace}, namespace))
	})
	testenv.Eventually(t, "what the operator made in the adopted namespace is gone", func(ctx context.Context) error {
		policy := client.ObjectKey{Namespace: adopted.namespace, Name: runnerPolicy}
		return wantNotFound(shared.client.Get(ctx, policy, &networkingv1.NetworkPolicy{}))
	})
	if err := shared.client.Get(t.Context(), client.ObjectKey{Name: adopted.namespace}, namespace); err != nil || !namespace.DeletionTimestamp.IsZero() {
		t.Errorf("the adopted namespace: %v, deleted at %v", err, namespace.DeletionTimestamp)
	}
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: adopted.namespace, Name: secretName}, &corev1.Secret{}); err != nil {
		t.Errorf("its Secret: %v", err)
	}
	adopted.wantEffects(1)
	made.count(`SELECT count(*) FROM hangfire.jobs`) // the database still exists
}

func wantNotFound(err error) error {
	if err == nil {
		return errors.New("it still exists")
	}
	return client.IgnoreNotFound(err)
}

func TestNamespaceWithoutTheLabelIsNotTakenOver(t *testing.T) {
	t.Parallel()
	tn := newDatabase(t, "taken")
	tn.makeNamespace(map[string]string{testLabel: "true"})
	tn.giveSecret(tn.url)
	tn.create()
	condition := tn.waitCondition(v1alpha1.ConditionReady, func(c metav1.Condition) bool { return c.Reason == v1alpha1.ReasonNamespaceTaken })
	wantWords(t, "the condition", condition.Message, "kubectl label namespace workspace-taken jobs.openradius.io/workspace=taken")
	var policies networkingv1.NetworkPolicyList
	var jobs batchv1.JobList
	for _, list := range []client.ObjectList{&policies, &jobs} {
		if err := shared.client.List(t.Context(), list, client.InNamespace(tn.namespace)); err != nil {
			t.Fatal(err)
		}
	}
	if len(policies.Items)+len(jobs.Items) > 0 {
		t.Errorf("the operator created %d NetworkPolicies and %d Jobs in a namespace that isn't the workspace's", len(policies.Items), len(jobs.Items))
	}
}

func TestJobOutsideAWorkspaceStartsOnceItsNamespaceIsOne(t *testing.T) {
	t.Parallel()
	tn := newDatabase(t, "outside")
	tn.exec(createEffects)
	tn.adoptable()
	tn.giveSecret(tn.url)
	tn.start(tn.makeSQL("add", insertEffect))
	job := tn.waitJob("add", "it is stalled", func(job *v1alpha1.WorkspaceJob) bool {
		return readyOf(job).Reason == v1alpha1.ReasonNotInWorkspace
	})
	wantWords(t, "the message", job.Status.Message, `namespace "workspace-outside" belongs to no Workspace`)
	tn.kubectl("wait", "--for=condition=Stalled", "workspacejob/add", "--timeout=1m")
	tn.wantNothingRun("add")

	tn.create()
	tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
}
