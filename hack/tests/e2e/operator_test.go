package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestOnceInEffectWhenTheOperatorIsKilledBetweenJobAndStatus is not parallel, since other
// tests would wait while the operator is dead.
func TestOnceInEffectWhenTheOperatorIsKilledBetweenJobAndStatus(t *testing.T) {
	tn := newTenantWithEffects(t, "operator-killed")
	lift := tn.denyStatusWrites("add")
	tn.start(tn.makeSQL("add", insertEffect))
	testenv.Eventually(t, "the attempt's Job is complete", func(ctx context.Context) error {
		jobs, err := tn.batchJobs(ctx, "add")
		if err != nil {
			return err
		}
		if len(jobs) != 1 || runnerjob.Finished(&jobs[0]) == nil {
			return fmt.Errorf("there are %d Jobs", len(jobs))
		}
		return nil
	})
	job, err := tn.job(t.Context(), "add")
	if err != nil {
		t.Fatal(err)
	}
	if len(job.Status.Attempts) > 0 {
		t.Fatalf("the status was written: %+v", job.Status)
	}
	killOperator(t)
	lift()

	job = tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
	jobs, err := tn.batchJobs(t.Context(), "add")
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) != 1 || !metav1.IsControlledBy(&jobs[0], job) || jobs[0].UID != job.Status.Attempts[0].JobUID {
		t.Errorf("want one Job of this WorkspaceJob, recorded in its status, but there are %s", namesOf(jobs))
	}
}

func namesOf(jobs []batchv1.Job) []string {
	var names []string
	for i := range jobs {
		names = append(names, jobs[i].Name)
	}
	return names
}

// killOperator kills the operator's process, and waits until its pod is ready again.
func killOperator(t *testing.T) {
	t.Helper()
	pod, err := operatorPod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	restarts := pod.Status.ContainerStatuses[0].RestartCount
	signalPod(t, pod, syscall.SIGKILL)
	testenv.Eventually(t, "the operator is back", func(ctx context.Context) error {
		pod, err := operatorPod(ctx)
		if err != nil {
			return err
		}
		if status := pod.Status.ContainerStatuses[0]; status.RestartCount == restarts || !status.Ready {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
}

func operatorPod(ctx context.Context) (*corev1.Pod, error) {
	var pods corev1.PodList
	if err := shared.client.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/component": "manager"}); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.DeletionTimestamp.IsZero() && len(pod.Status.ContainerStatuses) == 1 {
			return pod, nil
		}
	}
	return nil, errors.New("the operator has no pod")
}

// denyStatusWrites prevents the operator from writing the status of one job until the
// returned function is called.
func (tn *tenant) denyStatusWrites(name string) (lift func()) {
	tn.t.Helper()
	const canary = "canary"
	meta := metav1.ObjectMeta{Name: "e2e-" + tn.name}
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Update},
					Rule: admissionv1.Rule{
						APIGroups: []string{v1alpha1.Group}, APIVersions: []string{"*"}, Resources: []string{"workspacejobs/status"},
					},
				},
			}}},
			Validations: []admissionv1.Validation{{
				Expression: fmt.Sprintf("!(request.userInfo.username == '%s' && object.metadata.namespace == '%s' && object.metadata.name in ['%s', '%s'])",
					operatorUser, tn.namespace, name, canary),
				Message: "the test denies it",
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	for _, object := range []client.Object{policy, binding} {
		_ = shared.client.Delete(tn.t.Context(), object.DeepCopyObject().(client.Object)) // left by a run that was killed
		if err := shared.client.Create(tn.t.Context(), object); err != nil {
			tn.t.Fatal(err)
		}
	}
	lift = func() { remove(tn.t, binding); remove(tn.t, policy) }
	tn.t.Cleanup(lift)

	// The API server enforces a policy some time after its creation.
	probe := tn.makeSQL(canary, "SELECT 1").Delay(1000 * testenv.PollLimit).Obj()
	if err := shared.client.Create(tn.t.Context(), probe); err != nil {
		tn.t.Fatal(err)
	}
	operator := asUser(tn.t, operatorUser)
	testenv.Eventually(tn.t, "the policy is in force", func(ctx context.Context) error {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"status": {"message": "probe"}}`))
		err := operator.Status().Patch(ctx, probe.DeepCopy(), patch, client.DryRunAll)
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return nil
		}
		return errors.Join(errors.New("the operator can write the status"), err)
	})
	return lift
}

// asUser returns a client with the rights of another user.
func asUser(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(shared.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: shared.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return testenv.RetryCreate(c)
}

// asKubernetes returns a client whose user the admission policies allow to write the
// operator's objects.
func asKubernetes(t *testing.T) client.Client {
	t.Helper()
	return asUser(t, "system:serviceaccount:kube-system:job-controller", "system:masters", "system:serviceaccounts:kube-system")
}
