package recurring

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	conditions := func(reason string, status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason, Status: status, Message: "the message"}}
	}
	active := v1alpha1.WorkspaceRecurringJobStatus{Conditions: conditions("ScheduleActive", "True")}
	wrong := v1alpha1.WorkspaceRecurringJobStatus{Conditions: conditions("InvalidSchedule", "False")}
	missed := active
	missed.MissedRuns, missed.LastMissedAt = 2, when(60)
	for name, c := range map[string]struct {
		before v1alpha1.WorkspaceRecurringJobStatus
		d      decision
		want   []report.Event
	}{
		"created":          {v1alpha1.WorkspaceRecurringJobStatus{}, decision{status: active}, nil},
		"created wrong":    {v1alpha1.WorkspaceRecurringJobStatus{}, decision{status: wrong}, []report.Event{{Type: "Warning", Reason: "InvalidSchedule", Note: "the message"}}},
		"still wrong":      {wrong, decision{status: wrong}, nil},
		"fixed":            {wrong, decision{status: active}, []report.Event{{Type: "Normal", Reason: "ScheduleActive", Note: "the message"}}},
		"missed":           {active, decision{status: missed}, []report.Event{{Type: "Warning", Reason: "RunMissed", Note: "2 missed, the latest was due at 2026-03-01T13:00:00Z"}}},
		"reported already": {missed, decision{status: missed}, nil},
		"by hand": {active, decision{status: missed, startedManually: []string{"daily-1"}}, []report.Event{{
			Type: "Warning", Reason: "RunMissed", Note: `2 missed, the latest was due at 2026-03-01T13:00:00Z; Job "daily-1" was started by hand, around the queue: trigger runs with recurringJobRef instead`,
		}}},
		"skipped": {active, decision{status: active, skipped: []string{"daily-1"}}, []report.Event{{
			Type: "Warning", Reason: "RunSkipped", Note: `run "daily-1" was not started: an earlier run had not finished`,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, eventsOf(&c.before, c.d)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSameRefusedRunIsNamedEachTime(t *testing.T) {
	t.Parallel()
	o := hourly().observed
	o.refuse("daily-2", report.Refusal{Message: "second"})
	o.refuse("daily-1", report.Refusal{Message: "first"})
	o.refuse("daily-0", report.Refusal{Kind: report.NameTaken})
	for range 20 {
		if f := findingOfRuns(o, &decision{}); f.Message != `run "daily-1" can't be created; it is tried again: first` {
			t.Fatal(f.Message)
		}
	}
}
