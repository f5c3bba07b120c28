package job

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// enter sets a state in which the operator works on the job, or waits for something that
// needs no person.
func enter(status *v1alpha1.WorkspaceJobStatus, state v1alpha1.JobState, reason, message string, now time.Time) {
	status.State = state
	setConditions(status, metav1.ConditionUnknown, report.Finding{Phase: report.Progressing, Reason: reason, Message: message}, now)
}

// stall sets a state in which nothing happens until a person does what the message says.
func stall(status *v1alpha1.WorkspaceJobStatus, state v1alpha1.JobState, reason, message string, now time.Time) {
	status.State = state
	setConditions(status, metav1.ConditionUnknown, report.Finding{Phase: report.Stalled, Reason: reason, Message: message}, now)
}

// finish ends the run in one of the final states. A failure is also Stalled: Ready=False
// alone means "in progress" to kstatus.
func finish(d *decision, state v1alpha1.JobState, reason, message string, at time.Time) {
	d.status.State = state
	d.status.FinishedAt = new(metav1.NewTime(at))
	d.status.NextAttemptAt = nil
	succeeded, phase := metav1.ConditionFalse, report.Ready
	switch state {
	case v1alpha1.StateSucceeded:
		succeeded = metav1.ConditionTrue
	case v1alpha1.StateFailed:
		phase = report.Stalled
	}
	setConditions(&d.status, succeeded, report.Finding{Phase: phase, Reason: reason, Message: message}, at)
}

func setConditions(status *v1alpha1.WorkspaceJobStatus, succeeded metav1.ConditionStatus, f report.Finding, at time.Time) {
	status.Message = report.Clip(f.Message, report.MaxMessage)
	c := report.Conditions{List: &status.Conditions, Generation: status.ObservedGeneration, Now: at}
	c.Summarize(f)
	c.Set(v1alpha1.ConditionSucceeded, succeeded, f.Reason, f.Message)
}
