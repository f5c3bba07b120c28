package job

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

// notice is an event: what an operator should look at. A job that succeeds at once has
// none, for its status tells it all and events flood etcd.
type notice struct {
	kind, reason, note string
	// attempt names the Job that the event is about; "" if none. Two failed
	// attempts would else be folded into one event.
	attempt string
}

// measure is what the metrics learn from a transition.
type measure struct {
	outcome v1alpha1.AttemptOutcome // of an attempt that ended
	ran     time.Duration           // how long it ran; 0: it never started
	queued  *time.Duration          // from due to the start of the run
	late    *time.Duration          // the same, by the schedule that made the run
}

// eventsOf tells what is worth an event between two statuses.
func eventsOf(before, after *v1alpha1.WorkspaceJobStatus) []notice {
	var events []notice
	if before.Run > 0 && after.Run > before.Run {
		events = append(events, notice{kind: corev1.EventTypeNormal, reason: v1alpha1.ReasonRequeued, note: fmt.Sprintf("run %d begins", after.Run)})
	}
	for _, attempt := range ended(before, after) {
		if attempt.Outcome != v1alpha1.OutcomeSucceeded && attempt.Outcome != v1alpha1.OutcomeCancelled && attempt.Outcome != v1alpha1.OutcomeReplaced {
			events = append(events, notice{
				kind: corev1.EventTypeWarning, reason: v1alpha1.ReasonAttemptFailed, attempt: attempt.Job,
				note: fmt.Sprintf("attempt %d %s", attempt.Number, describe(&attempt)),
			})
		}
	}
	was, is := conditions.Reason(before.Conditions), conditions.Reason(after.Conditions)
	if was == is && before.State == after.State {
		return events
	}
	note := notice{kind: corev1.EventTypeWarning, reason: is, note: after.Message}
	switch is {
	case v1alpha1.ReasonPodPending, v1alpha1.ReasonNotInWorkspace, v1alpha1.ReasonNameTaken, v1alpha1.ReasonJobRefused,
		v1alpha1.ReasonRetriesExhausted, v1alpha1.ReasonPermanentFailure, v1alpha1.ReasonInvalidArguments,
		v1alpha1.ReasonSkipped, v1alpha1.ReasonRunQueueFull, v1alpha1.ReasonReplaced, v1alpha1.ReasonRecurringJobNotFound,
		v1alpha1.ReasonParentEnded, v1alpha1.ReasonParentCycle:
		return append(events, note)
	case v1alpha1.ReasonParentMissing:
		if after.State != v1alpha1.StateDeleted {
			note.kind = corev1.EventTypeNormal
		}
		return append(events, note)
	case v1alpha1.ReasonSucceeded:
		if after.RunAttempts == 1 && after.Run == 1 {
			return events
		}
		fallthrough
	case v1alpha1.ReasonCancelled:
		note.kind = corev1.EventTypeNormal
		return append(events, note)
	}
	return events
}

// measuresOf tells what the metrics learn between two statuses of the job.
func measuresOf(job *v1alpha1.WorkspaceJob, before, after *v1alpha1.WorkspaceJobStatus) []measure {
	var measures []measure
	started := after.StartedAt != nil && (before.StartedAt == nil || before.Run != after.Run)
	if started && after.EnqueuedAt != nil {
		measures = append(measures, measure{queued: new(max(0, after.StartedAt.Sub(after.EnqueuedAt.Time)))})
	}
	// Only its first run was due by a schedule; a requeued one comes from none.
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

// ended are the attempts that ended between two statuses.
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
