package recurring

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
)

func ready(o observed, d *decision, reason, message string) {
	setConditions(o, d, metav1.ConditionTrue, "", reason, message)
}

// stall: nothing goes on until somebody mends what the message says.
func stall(o observed, d *decision, reason, message string) {
	setConditions(o, d, metav1.ConditionFalse, v1alpha1.ConditionStalled, reason, message)
}

// progress: the operator tries again by itself.
func progress(o observed, d *decision, reason, message string) {
	setConditions(o, d, metav1.ConditionFalse, v1alpha1.ConditionReconciling, reason, message)
}

func setConditions(o observed, d *decision, is metav1.ConditionStatus, abnormal, reason, message string) {
	set := func(kind string, value metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&d.status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: conditions.Clip(message, conditions.MaxMessage),
			ObservedGeneration: d.status.ObservedGeneration, LastTransitionTime: metav1.NewTime(o.now),
		})
	}
	set(v1alpha1.ConditionReady, is, reason, message)
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if kind == abnormal {
			set(kind, metav1.ConditionTrue, reason, message)
			continue
		}
		meta.RemoveStatusCondition(&d.status.Conditions, kind)
	}
	value, why, text := lastRun(d.status.LastRun)
	set(v1alpha1.ConditionLastRunSucceeded, value, why, text)
}

func lastRun(last *v1alpha1.LastRun) (value metav1.ConditionStatus, reason, message string) {
	if last == nil {
		return metav1.ConditionUnknown, v1alpha1.ReasonNoRunYet, "no run has ended"
	}
	message = fmt.Sprintf("run %q is %s", last.Name, last.State)
	switch last.State {
	case v1alpha1.StateSucceeded:
		return metav1.ConditionTrue, v1alpha1.ReasonRunSucceeded, message
	case v1alpha1.StateFailed:
		return metav1.ConditionFalse, v1alpha1.ReasonRunFailed, message
	default:
		return metav1.ConditionFalse, v1alpha1.ReasonRunDeleted, message
	}
}

// notice is an event.
type notice struct{ kind, reason, note string }

// eventsOf tells what is worth an event between a status and the one decided on.
func eventsOf(before *v1alpha1.WorkspaceRecurringJobStatus, d decision) []notice {
	var events []notice
	warn := func(reason, note string) {
		events = append(events, notice{corev1.EventTypeWarning, reason, conditions.Clip(note, conditions.MaxNote)})
	}
	for _, name := range d.taken {
		warn(v1alpha1.ReasonNameTaken, fmt.Sprintf("run %q is missed: a WorkspaceJob of that name exists and is not this recurring job's", name))
	}
	if n := d.status.MissedRuns - before.MissedRuns; n > 0 {
		note := fmt.Sprintf("%d missed, the latest was due at %s", n, d.status.LastMissedAt.UTC().Format(time.RFC3339))
		for _, name := range d.byHand {
			note += fmt.Sprintf("; Job %q was started by hand, around the queue: trigger runs with recurringJobRef instead", name)
		}
		warn(v1alpha1.ReasonRunMissed, note)
	}
	for _, name := range d.skipped {
		warn(v1alpha1.ReasonRunSkipped, fmt.Sprintf("run %q was not started: an earlier run had not finished", name))
	}
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(d.status.Conditions, v1alpha1.ConditionReady)
	switch {
	case is == nil || was != nil && was.Reason == is.Reason:
	case is.Status != metav1.ConditionTrue:
		warn(is.Reason, is.Message)
	case was != nil:
		events = append(events, notice{corev1.EventTypeNormal, is.Reason, conditions.Clip(is.Message, conditions.MaxNote)})
	}
	return events
}
