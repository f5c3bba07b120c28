package recurring

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// eventsOf returns an event for each change between a status and the one decided on that a
// person should know about.
func eventsOf(before *v1alpha1.WorkspaceRecurringJobStatus, d decision) []report.Event {
	var events []report.Event
	warn := func(reason, format string, values ...any) {
		events = append(events, report.Event{Type: corev1.EventTypeWarning, Reason: reason, Note: fmt.Sprintf(format, values...)})
	}
	for _, name := range d.namesTaken {
		warn(v1alpha1.ReasonNameTaken, "run %q is missed: a WorkspaceJob of that name exists and does not belong to this recurring job", name)
	}
	if n := d.status.MissedRuns - before.MissedRuns; n > 0 {
		note := fmt.Sprintf("%d missed, the latest was due at %s", n, d.status.LastMissedAt.UTC().Format(time.RFC3339))
		for _, name := range d.startedManually {
			note += fmt.Sprintf("; Job %q was started by hand, around the queue: trigger runs with recurringJobRef instead", name)
		}
		warn(v1alpha1.ReasonRunMissed, "%s", note)
	}
	for _, name := range d.skipped {
		warn(v1alpha1.ReasonRunSkipped, "run %q was not started: an earlier run had not finished", name)
	}
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(d.status.Conditions, v1alpha1.ConditionReady)
	switch {
	case is == nil || was != nil && was.Reason == is.Reason:
	case is.Status != metav1.ConditionTrue:
		warn(is.Reason, "%s", is.Message)
	case was != nil:
		events = append(events, report.Event{Type: corev1.EventTypeNormal, Reason: is.Reason, Note: is.Message})
	}
	return events
}
