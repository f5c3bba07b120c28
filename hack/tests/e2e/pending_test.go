package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestMissingImageIsReported(t *testing.T) {
	t.Parallel()
	tn := newDatabase(t, "no-image")
	tn.adoptable()
	tn.giveSecret(tn.url)
	tn.create(func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Image = "localhost/workspace-jobs/missing:dev" })
	condition := tn.waitCondition(v1alpha1.ConditionDatabaseReady, func(c metav1.Condition) bool {
		return c.Reason == v1alpha1.ReasonMigrationPending
	})
	wantWords(t, "the condition", condition.Message, "localhost/workspace-jobs/missing:dev", "Image")
}

func TestUsedUpQuotaIsReported(t *testing.T) {
	t.Parallel()
	// One pod, for the migration. It no longer counts once it has ended.
	tn := newTenant(t, "no-quota", func(ws *v1alpha1.Workspace) { ws.Spec.Quota = resources(corev1.ResourceRequestsCPU, "100m") })
	tn.start(tn.makeSQL("big", "SELECT 1").Requests(resources(corev1.ResourceCPU, "200m")))
	tn.wantReported("big", "exceeded quota", "requests.cpu")
}

func TestPodThatNoNodeCanRunIsReportedAndFailsTheAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "no-node", func(ws *v1alpha1.Workspace) { ws.Spec.Quota = resources(corev1.ResourceRequestsCPU, "2k") })
	tn.start(tn.makeSQL("huge", "SELECT 1").Requests(resources(corev1.ResourceCPU, "1k")).Retries(0, time.Second))
	tn.wantReported("huge", "no node can run its pod", "Insufficient cpu")

	job := tn.waitFinal("huge", v1alpha1.StateFailed)
	wantAttempts(t, job, v1alpha1.OutcomeNotStarted)
	wantWords(t, "the attempt's error", job.Status.Attempts[0].Error, "did not start within", "Insufficient cpu")
	if reason := readyOf(job).Reason; reason != v1alpha1.ReasonRetriesExhausted {
		t.Errorf("the reason is %s", reason)
	}
}

// wantReported waits until the job reports why its pod does not start.
func (tn *tenant) wantReported(name string, words ...string) {
	tn.t.Helper()
	job := tn.waitJob(name, "its pod is reported", func(job *v1alpha1.WorkspaceJob) bool {
		return readyOf(job).Reason == v1alpha1.ReasonPodPending && strings.Contains(job.Status.Message, words[0])
	})
	wantWords(tn.t, "the message", job.Status.Message, words...)
	if job.Status.State != v1alpha1.StateEnqueued {
		tn.t.Errorf("the state is %s", job.Status.State)
	}
}
