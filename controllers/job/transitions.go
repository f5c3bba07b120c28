package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// measure is what the metrics count of one transition.
type measure struct {
	outcome v1alpha1.AttemptOutcome // of an attempt that ended
	ran     time.Duration           // how long it ran; 0: it never started
	queued  *time.Duration          // from due to the start of the run
	late    *time.Duration          // the same, by the schedule that made the run
}

// eventsOf returns an event for each change between two statuses that a person should know
// about. A job that succeeds at its first attempt has none: its status says it all, and
// events would flood etcd.
func eventsOf(namespace string, before, after *v1alpha1.WorkspaceJobStatus) []report.Event {
	var events []report.Event
	if before.Run > 0 && after.Run > before.Run {
		events = append(events, report.Event{Type: corev1.EventTypeNormal, Reason: v1alpha1.ReasonRequeued, Note: fmt.Sprintf("run %d begins", after.Run)})
	}
	for _, attempt := range ended(before, after) {
		switch attempt.Outcome {
		case v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeCancelled, v1alpha1.OutcomeReplaced:
		default:
			events = append(events, report.Event{
				Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonAttemptFailed,
				Note: describe(&attempt),
				// Two failed attempts would otherwise be folded into one event.
				Related: &batchv1.Job{
					TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
					ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: attempt.Job},
				},
			})
		}
	}
	if kind := eventType(before, after); kind != "" {
		events = append(events, report.Event{Type: kind, Reason: report.Reason(after.Conditions), Note: after.Message})
	}
	return events
}

// eventType returns the type of the event for a change of state or reason, or "" if it
// needs none.
func eventType(before, after *v1alpha1.WorkspaceJobStatus) string {
	reason := report.Reason(after.Conditions)
	if report.Reason(before.Conditions) == reason && before.State == after.State {
		return ""
	}
	switch reason {
	case v1alpha1.ReasonPodPending, v1alpha1.ReasonNotInWorkspace, v1alpha1.ReasonNameTaken, v1alpha1.ReasonJobRefused,
		v1alpha1.ReasonRetriesExhausted, v1alpha1.ReasonPermanentFailure, v1alpha1.ReasonInvalidArguments,
		v1alpha1.ReasonSkipped, v1alpha1.ReasonRunQueueFull, v1alpha1.ReasonReplaced, v1alpha1.ReasonRecurringJobNotFound,
		v1alpha1.ReasonParentEnded, v1alpha1.ReasonParentCycle:
		return corev1.EventTypeWarning
	case v1alpha1.ReasonParentMissing:
		if after.State == v1alpha1.StateDeleted {
			return corev1.EventTypeWarning
		}
		return corev1.EventTypeNormal
	case v1alpha1.ReasonSucceeded:
		if after.RunAttempts == 1 && after.Run == 1 {
			return ""
		}
		return corev1.EventTypeNormal
	case v1alpha1.ReasonCancelled:
		return corev1.EventTypeNormal
	default:
		return ""
	}
}

// measuresOf returns what the metrics count between two statuses of the job.
func measuresOf(job *v1alpha1.WorkspaceJob, before, after *v1alpha1.WorkspaceJobStatus) []measure {
	var measures []measure
	started := after.StartedAt != nil && (before.StartedAt == nil || before.Run != after.Run)
	if started && after.EnqueuedAt != nil {
		measures = append(measures, measure{queued: new(max(0, after.StartedAt.Sub(after.EnqueuedAt.Time)))})
	}
	// Only the first run was due by a schedule; a requeue is not.
	due, scheduled := job.ScheduledAt()
	if started && scheduled && after.Run == 1 {
		measures = append(measures, measure{late: new(max(0, after.StartedAt.Sub(due)))})
	}
	for _, attempt := range ended(before, after) {
		m := measure{outcome: attempt.Outcome}
		if attempt.StartedAt != nil {
			m.ran = max(0, attempt.FinishedAt.Sub(attempt.StartedAt.Time))
		}
		measures = append(measures, m)
	}
	return measures
}

// ended lists the attempts that ended between two statuses.
func ended(before, after *v1alpha1.WorkspaceJobStatus) []v1alpha1.Attempt {
	known := map[int32]bool{}
	for _, attempt := range before.Attempts {
		known[attempt.Number] = attempt.FinishedAt != nil
	}
	var ended []v1alpha1.Attempt
	for _, attempt := range after.Attempts {
		if attempt.FinishedAt != nil && !known[attempt.Number] {
			ended = append(ended, attempt)
		}
	}
	return ended
}
