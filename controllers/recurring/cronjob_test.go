package recurring

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestDecideAboutTheCronJob(t *testing.T) {
	t.Parallel()
	sinceOf := func(cronJob *batchv1.CronJob) string {
		return cronJob.Annotations[v1alpha1.AnnotationScheduleSince][11:16] + " " + cronJob.Annotations[v1alpha1.AnnotationRunningSince][11:16]
	}
	for name, c := range map[string]struct {
		change func(*scene)
		// applied is the schedule, zone, whether it is suspended, and the two times;
		// "": nothing is applied.
		applied string
		reason  string
		kstatus status.Status
	}{
		"as it should be":        {func(*scene) {}, "", "ScheduleActive", status.CurrentStatus},
		"another schedule":       {func(s *scene) { s.recurring.Spec.Schedule = "30 * * * *" }, "30 * * * * Etc/UTC false 12:30 12:00", "ScheduleActive", status.CurrentStatus},
		"another time zone":      {func(s *scene) { s.recurring.Spec.TimeZone = "Asia/Tokyo" }, "0 * * * * Asia/Tokyo false 12:30 12:00", "ScheduleActive", status.CurrentStatus},
		"another template":       {func(s *scene) { s.recurring.Spec.Template.Handler = "report" }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleActive", status.CurrentStatus},
		"suspended":              {func(s *scene) { s.recurring.Spec.Suspend = true }, "0 * * * * Etc/UTC true 12:00 12:00", "Suspended", status.CurrentStatus},
		"resumed":                {func(s *scene) { s.cronJob.Spec.Suspend = new(true) }, "0 * * * * Etc/UTC false 12:00 12:30", "ScheduleActive", status.CurrentStatus},
		"edited by a person":     {func(s *scene) { s.cronJob.Spec.Schedule = "* * * * *" }, "0 * * * * Etc/UTC false 12:30 12:00", "ScheduleActive", status.CurrentStatus},
		"its jobs not suspended": {func(s *scene) { s.cronJob.Spec.JobTemplate.Spec.Suspend, s.cronJob.Generation = new(false), 2 }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleActive", status.CurrentStatus},
		"its deadline removed":   {func(s *scene) { s.deadline(time.Hour); s.recurring.Spec.StartingDeadline = nil }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleActive", status.CurrentStatus},
		"gone":                   {func(s *scene) { s.cronJob = nil }, "0 * * * * Etc/UTC false 12:30 12:30", "ScheduleActive", status.CurrentStatus},
		"a bad schedule keeps the last good one": {
			func(s *scene) { s.recurring.Spec.Schedule = "61 * * * *" }, "", "InvalidSchedule", status.FailedStatus,
		},
		"a bad time zone keeps the last good one": {
			func(s *scene) { s.recurring.Spec.TimeZone = "Mars/Olympus" }, "", "InvalidTimeZone", status.FailedStatus,
		},
		"suspended with a bad schedule": {
			func(s *scene) { s.recurring.Spec.Schedule, s.recurring.Spec.Suspend = "61 * * * *", true },
			"0 * * * * Etc/UTC true 12:00 12:00", "InvalidSchedule", status.FailedStatus,
		},
		"a bad schedule from the start": {
			func(s *scene) { s.recurring.Spec.Schedule, s.cronJob = "every day", nil }, "", "InvalidSchedule", status.FailedStatus,
		},
		"another owner's CronJob": {
			func(s *scene) { s.foreign, s.cronJob = s.cronJob, nil }, "", "NameTaken", status.FailedStatus,
		},
		"arguments that no run could take": {func(s *scene) {
			s.recurring.Spec.Template.Args = &apiextensionsv1.JSON{Raw: []byte(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}
		}, "", "InvalidArguments", status.FailedStatus},
		"no workspace":            {func(s *scene) { s.workspace = nil }, "suspended", "NotInWorkspace", status.FailedStatus},
		"no workspace yet":        {func(s *scene) { s.coming, s.workspace = s.workspace, nil }, "suspended", "WorkspaceNotReady", status.InProgressStatus},
		"a terminating workspace": {func(s *scene) { s.workspace.DeletionTimestamp = when(29) }, "suspended", "WorkspaceNotReady", status.InProgressStatus},
		"no workspace, suspended": {func(s *scene) { s.workspace, s.cronJob.Spec.Suspend = nil, new(true) }, "", "NotInWorkspace", status.FailedStatus},
		"a CronJob that the API server refuses": {
			func(s *scene) {
				s.cronJobRefused = &report.Refusal{Kind: report.Invalid, Message: "no"}
			}, "", "CronJobRefused", status.FailedStatus,
		},
		"a CronJob that the API server refuses to suspend as a whole": {
			func(s *scene) {
				s.recurring.Spec.Suspend = true
				s.cronJobRefused = &report.Refusal{Kind: report.Invalid, Message: "no"}
			}, "suspended", "CronJobRefused", status.FailedStatus,
		},
		"a run that the API server refuses for now": {
			func(s *scene) { s.refuse("daily-1", report.Refusal{Kind: report.Forbidden, Message: "quota"}) }, "", "JobRefused", status.InProgressStatus,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hourly().at(30)
			c.change(s)
			if got := testenv.Kstatus(t, s.recurring); got != status.InProgressStatus {
				t.Errorf("before the operator has seen it: %s", got)
			}
			d := s.decide()
			applied := ""
			if d.suspend != nil {
				applied = "suspended"
			}
			if d.apply != nil {
				suspended := "false"
				if *d.apply.Spec.Suspend {
					suspended = "true"
				}
				applied = strings.Join([]string{d.apply.Spec.Schedule, *d.apply.Spec.TimeZone, suspended, sinceOf(d.apply)}, " ")
			}
			if applied != c.applied {
				t.Errorf("applied %q, want %q", applied, c.applied)
			}
			if got := report.Reason(d.status.Conditions); got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
			s.recurring.Status = d.status
			if got := testenv.Kstatus(t, s.recurring); got != c.kstatus {
				t.Errorf("kstatus says %s, want %s", got, c.kstatus)
			}
			if d.apply != nil {
				s.cronJob, s.recurring.Status.CronJobGeneration = d.apply, d.apply.Generation
				if again := s.at(31).decide(); again.apply != nil {
					t.Errorf("it is applied again: %s", cmp.Diff(s.cronJob, again.apply))
				}
			}
		})
	}
}

// TestATimeJustBeforeAChangeWasNotDue has Kubernetes create a tick for such a time all
// the same.
func TestATimeJustBeforeAChangeWasNotDue(t *testing.T) {
	t.Parallel()
	s := hourly().at(30)
	s.now = s.now.Add(time.Millisecond)
	s.recurring.Spec.Schedule = "30 * * * *"
	s.cronJob = s.decide().apply
	if d := s.tick(30).decide(); len(d.create) > 0 || len(d.removeTicks) != 1 || d.status.MissedRuns > 0 {
		t.Errorf("the run of the time before the change: %+v", outlineOf(d))
	}
}

// TestAScheduleWaitsForItsFence checks that the runs of a schedule begin with the check, and
// that the CronJob is applied again when the workspace asks for it.
func TestAScheduleWaitsForItsFence(t *testing.T) {
	t.Parallel()
	s := hourly()
	s.fence = runnerjob.Fence{Image: "manager:1", Limit: time.Minute}
	if d := s.decide(); d.apply != nil {
		t.Errorf("unasked: %+v", d.apply.Spec)
	}
	s.workspace.Spec.Network = &v1alpha1.Network{WaitForFence: true}
	d := s.decide()
	if d.apply == nil || len(d.apply.Spec.JobTemplate.Spec.Template.Spec.InitContainers) != 1 {
		t.Errorf("got %+v", d.apply)
	}
}
