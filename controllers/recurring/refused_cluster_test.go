package recurring

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestARefusedRunIsNotLost(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "refused-run")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: c.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/workspacejobs." + v1alpha1.Group: resource.MustParse("0")}},
	}
	c.create(quota)
	probe := &v1alpha1.WorkspaceJob{
		ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: c.namespace},
		Spec:       v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}},
	}
	testenv.Eventually(t, "the quota holds", func(ctx context.Context) error {
		if err := c.Create(ctx, probe.DeepCopy(), client.DryRunAll); !apierrors.IsForbidden(err) {
			return fmt.Errorf("creating a WorkspaceJob returns: %w", err)
		}
		return nil
	})
	first, second := c.fire("daily", soon(0)), c.fire("daily", soon(1))
	r := c.waitFor("daily", v1alpha1.ReasonJobRefused)
	if message := r.Status.Conditions[0].Message; !strings.Contains(message, first.Name) || !strings.Contains(message, "quota") {
		t.Errorf("it says %q", message)
	}
	if r.Status.LastScheduledAt != nil || r.Status.MissedRuns != 0 {
		t.Errorf("what is refused is reported: %+v", r.Status)
	}
	if err := c.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	c.run(first.Name)
	c.run(second.Name)
	r = c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	if len(r.Status.Active) != 2 || r.Status.MissedRuns != 0 {
		t.Errorf("its status is %+v", r.Status)
	}
}

// TestARefusedCronJobKeepsNoRunBack also checks that spec.suspend is obeyed where possible.
func TestARefusedCronJobKeepsNoRunBack(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "refused-cronjob")
	c.yearly("daily", nil)
	c.waitFor("daily", v1alpha1.ReasonScheduleActive)
	c.refuse("object.spec.jobTemplate.spec.template.spec.containers[0].env.all(e, !has(e.value) || e.value != 'report')")
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Template.Handler = "report" })
	c.waitFor("daily", v1alpha1.ReasonCronJobRefused)
	tick := c.fire("daily", soon(0))
	if run := c.run(tick.Name); run.Spec.Handler != "sql" {
		t.Errorf("it runs %q, not what the schedule said when it fired", run.Spec.Handler)
	}
	r := c.waitUntil("daily", "its run is reported", func(r *v1alpha1.WorkspaceRecurringJob) bool { return len(r.Status.Active) == 1 })
	if r.Status.NextScheduledAt == nil {
		t.Error("the schedule in force is not reported")
	}
	c.change("daily", func(spec *v1alpha1.WorkspaceRecurringJobSpec) { spec.Suspend = true })
	r = c.waitUntil("daily", "it is suspended", func(r *v1alpha1.WorkspaceRecurringJob) bool { return r.Status.NextScheduledAt == nil })
	if !*c.cronJob("daily").Spec.Suspend || report.Reason(r.Status.Conditions) != v1alpha1.ReasonCronJobRefused {
		t.Errorf("its status is %+v", r.Status)
	}
}

// refuse makes the API server refuse CronJobs of the namespace that break a rule as invalid,
// as a cluster's own policies may.
func (c *clusterT) refuse(rule string) {
	c.Helper()
	invalid := metav1.StatusReasonInvalid
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: c.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"cronjobs"}},
				}}},
			},
			Validations: []admissionv1.Validation{{Expression: rule, Message: "no", Reason: &invalid}},
		},
	}
	c.create(policy)
	c.create(&admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	})
	testenv.Eventually(c, "the policy holds", func(ctx context.Context) error {
		bad := c.cronJob("daily")
		before := bad.DeepCopy()
		bad.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "report"}}
		if err := c.Patch(ctx, bad, client.MergeFrom(before), client.DryRunAll); !apierrors.IsInvalid(err) {
			return fmt.Errorf("creating a CronJob returns: %w", err)
		}
		return nil
	})
}
