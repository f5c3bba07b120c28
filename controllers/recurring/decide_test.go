package recurring

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
	"github.com/openradius/workspace-jobs/hack/testenv"
)

// outline is what a case expects of a decision.
type outline struct {
	Adopt, Ticks, Runs   string
	Last, LastMissed     string
	Missed, Skipped      int64
	Failures             int32
	Active               string
	LastRun, LastSuccess string
}

func outlineOf(d decision) outline {
	clock := func(t *metav1.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format("15:04")
	}
	o := outline{
		Last: clock(d.status.LastScheduledAt), LastMissed: clock(d.status.LastMissedAt), Missed: d.status.MissedRuns,
		Skipped: d.status.SkippedRuns, Failures: d.status.ConsecutiveFailures, Active: minutes(d.status.Active),
		LastSuccess: clock(d.status.LastSucceededAt),
	}
	var adopt, ticks, runs []string
	for _, run := range d.adopt {
		adopt = append(adopt, run.Name)
	}
	for _, tick := range d.removeTicks {
		ticks = append(ticks, tick.Name)
	}
	for _, run := range d.removeRuns {
		runs = append(runs, run.Name)
	}
	o.Adopt, o.Ticks, o.Runs = minutes(adopt), minutes(ticks), minutes(runs)
	if last := d.status.LastRun; last != nil {
		o.LastRun = minutes([]string{last.Name}) + " " + string(last.State)
	}
	return o
}

// minutes writes runs by the time of their ticks.
func minutes(names []string) string {
	var times []string
	for _, name := range names {
		for m := -600; m <= 600; m++ {
			if runName(m) == name {
				times = append(times, at(m).Format("15:04"))
			}
		}
	}
	return strings.Join(times, " ")
}

func TestDecideAboutTicks(t *testing.T) {
	t.Parallel()
	lastAt := func(minutes int) func(*v1alpha1.WorkspaceRecurringJobStatus) {
		return func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastScheduledAt = when(minutes) }
	}
	resumed := func(s *scene, minutes int) *scene {
		s.cronJob.Annotations[v1alpha1.AnnotationRunningSince] = at(minutes).Format(time.RFC3339)
		return s
	}
	taken := hourly().at(60).tick(60)
	taken.refusals = map[string]refusal{runName(60): {taken: true}}
	refused := hourly().at(121).tick(60).tick(120)
	refused.refusals = map[string]refusal{runName(60): {message: "quota"}}
	changed := hourly().at(181).tick(120)
	changed.ticks[0].Annotations[v1alpha1.AnnotationScheduleSince] = at(180).Format(time.RFC3339)

	for name, c := range map[string]struct {
		s    *scene
		want outline
	}{
		"nothing is due":               {hourly(), outline{}},
		"a tick becomes a run":         {hourly().at(60).tick(60), outline{Adopt: "13:00", Last: "13:00", Active: "13:00"}},
		"one that has its run already": {hourly().at(60).tick(60).run(60, "Enqueued", "").status(lastAt(60)), outline{Last: "13:00", Active: "13:00"}},
		"the operator died after making the run": {
			hourly().at(60).tick(60).run(60, "Enqueued", ""), outline{Last: "13:00", Active: "13:00"},
		},
		"two ticks at once, oldest first": {
			hourly().at(121).tick(120).tick(60), outline{Adopt: "13:00 14:00", Last: "14:00", Active: "13:00 14:00"},
		},
		"a time without a tick was missed": {
			hourly().at(181).tick(60).run(60, "Processing", "").tick(180).status(lastAt(60)),
			outline{Adopt: "15:00", Last: "15:00", LastMissed: "14:00", Missed: 1, Active: "13:00 15:00"},
		},
		"times before the schedule was in place were not":  {hourly().at(60).tick(60), outline{Adopt: "13:00", Last: "13:00", Active: "13:00"}},
		"times while it was suspended were not":            {resumed(hourly(), 230).at(240).tick(240).status(lastAt(60)), outline{Adopt: "16:00", Last: "16:00", Active: "16:00"}},
		"the newest of them may start when it is resumed":  {resumed(hourly(), 200).at(201).tick(180).status(lastAt(60)), outline{Adopt: "15:00", Last: "15:00", Active: "15:00"}},
		"a time before the schedule was changed never was": {changed, outline{Ticks: "14:00"}},
		"a tick that was told of and has no run is a leftover": {
			hourly().at(61).tick(60).status(lastAt(60)), outline{Ticks: "13:00", Last: "13:00"},
		},
		"a tick whose run is gone goes too": {hourly().at(61).tick(60).started().status(lastAt(60)), outline{Ticks: "13:00", Last: "13:00"}},
		"a tick that somebody started by hand is not ours": {
			func() *scene { s := hourly().at(61).tick(60); s.ticks[0].Spec.Suspend = new(false); return s }(), outline{},
		},
		"a tick within the deadline":                  {hourly().deadline(10 * time.Minute).at(70).tick(60), outline{Adopt: "13:00", Last: "13:00", Active: "13:00"}},
		"a tick after the deadline is missed":         {hourly().deadline(10 * time.Minute).at(71).tick(60), outline{Ticks: "13:00", LastMissed: "13:00", Missed: 1}},
		"no tick within the deadline: it is missed":   {hourly().deadline(10 * time.Minute).at(72), outline{LastMissed: "13:00", Missed: 1}},
		"no tick, and the deadline is not over":       {hourly().deadline(10 * time.Minute).at(70), outline{}},
		"no tick and no deadline: it may still start": {hourly().at(110), outline{}},
		"a missed run is counted once": {
			hourly().deadline(10 * time.Minute).at(73).status(func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastMissedAt, s.MissedRuns = when(60), 1 }),
			outline{LastMissed: "13:00", Missed: 1},
		},
		"somebody else's WorkspaceJob has the name": {taken, outline{Ticks: "13:00", LastMissed: "13:00", Missed: 1}},
		"a run that is refused is not lost":         {refused, outline{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := c.s.recurring.DeepCopy()
			if diff := cmp.Diff(c.want, outlineOf(decide(c.s.observed))); diff != "" {
				t.Errorf("decide (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, c.s.recurring); diff != "" {
				t.Errorf("decide changed what it was given:\n%s", diff)
			}
		})
	}
}

func TestDecideAboutRuns(t *testing.T) {
	t.Parallel()
	active := func(minutes ...int) func(*v1alpha1.WorkspaceRecurringJobStatus) {
		return func(s *v1alpha1.WorkspaceRecurringJobStatus) {
			s.LastScheduledAt = when(minutes[len(minutes)-1])
			for _, m := range minutes {
				s.Active = append(s.Active, runName(m))
			}
			s.ConsecutiveFailures = 2
		}
	}
	told := func(minutes int) func(*v1alpha1.WorkspaceRecurringJobStatus) {
		return func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastScheduledAt = when(minutes) }
	}
	keep := func(s *scene, succeeded, failed int32) *scene {
		s.recurring.Spec.History = &v1alpha1.History{Succeeded: &succeeded, Failed: &failed}
		return s
	}
	for name, c := range map[string]struct {
		s    *scene
		want outline
	}{
		"a success": {
			hourly().at(62).run(60, "Succeeded", "Succeeded").status(active(60)),
			outline{Last: "13:00", LastRun: "13:00 Succeeded", LastSuccess: "13:01"},
		},
		"a failure": {
			hourly().at(62).run(60, "Failed", "RetriesExhausted").status(active(60)), outline{Last: "13:00", LastRun: "13:00 Failed", Failures: 3},
		},
		"a run that was cancelled neither failed nor succeeded": {
			hourly().at(62).run(60, "Deleted", "Cancelled").status(active(60)), outline{Last: "13:00", LastRun: "13:00 Deleted", Failures: 2},
		},
		"a run that was skipped is no last run": {
			hourly().at(62).run(60, "Deleted", "Skipped").status(active(60)), outline{Last: "13:00", Skipped: 1, Failures: 2},
		},
		"a run that came and ended between two looks": {
			hourly().at(62).tick(60).started().run(60, "Failed", "PermanentFailure"), outline{Last: "13:00", LastRun: "13:00 Failed", Failures: 1},
		},
		"what was told before is not told again": {hourly().at(62).run(60, "Failed", "RetriesExhausted").status(told(60)), outline{Last: "13:00"}},
		"in the order of their ends": {
			hourly().at(300).run(120, "Failed", "RetriesExhausted").run(60, "Succeeded", "Succeeded").status(active(60, 120)),
			outline{Last: "14:00", LastRun: "14:00 Failed", LastSuccess: "13:01", Failures: 1},
		},
		"the oldest go": {
			keep(hourly(), 1, 2).at(400).run(60, "Succeeded", "").run(120, "Succeeded", "").run(180, "Failed", "").run(240, "Failed", "").run(300, "Failed", "").status(told(300)),
			outline{Last: "17:00", Runs: "15:00 13:00"},
		},
		"runs that were Deleted have the limit of those that Succeeded": {
			keep(hourly(), 1, 0).at(400).run(60, "Deleted", "Skipped").run(120, "Deleted", "Skipped").run(180, "Succeeded", "").status(told(300)),
			outline{Last: "17:00", Runs: "13:00"},
		},
		"an unfinished run is no history": {
			keep(hourly(), 0, 0).at(400).run(60, "Scheduled", "").status(told(60)), outline{Last: "13:00", Active: "13:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, outlineOf(decide(c.s.observed))); diff != "" {
				t.Errorf("decide (-want +got):\n%s", diff)
			}
		})
	}
}

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
		verdict status.Status
	}{
		"as it should be":        {func(*scene) {}, "", "ScheduleInPlace", status.CurrentStatus},
		"another schedule":       {func(s *scene) { s.recurring.Spec.Schedule = "30 * * * *" }, "30 * * * * Etc/UTC false 12:30 12:00", "ScheduleInPlace", status.CurrentStatus},
		"another time zone":      {func(s *scene) { s.recurring.Spec.TimeZone = "Asia/Tokyo" }, "0 * * * * Asia/Tokyo false 12:30 12:00", "ScheduleInPlace", status.CurrentStatus},
		"another template":       {func(s *scene) { s.recurring.Spec.Template.Handler = "report" }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleInPlace", status.CurrentStatus},
		"suspended":              {func(s *scene) { s.recurring.Spec.Suspend = true }, "0 * * * * Etc/UTC true 12:00 12:00", "Suspended", status.CurrentStatus},
		"resumed":                {func(s *scene) { s.cronJob.Spec.Suspend = new(true) }, "0 * * * * Etc/UTC false 12:00 12:30", "ScheduleInPlace", status.CurrentStatus},
		"edited by somebody":     {func(s *scene) { s.cronJob.Spec.Schedule = "* * * * *" }, "0 * * * * Etc/UTC false 12:30 12:00", "ScheduleInPlace", status.CurrentStatus},
		"its jobs not suspended": {func(s *scene) { s.cronJob.Spec.JobTemplate.Spec.Suspend = new(false) }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleInPlace", status.CurrentStatus},
		"no deadline any more":   {func(s *scene) { s.deadline(time.Hour); s.recurring.Spec.StartingDeadline = nil }, "0 * * * * Etc/UTC false 12:00 12:00", "ScheduleInPlace", status.CurrentStatus},
		"gone":                   {func(s *scene) { s.cronJob = nil }, "0 * * * * Etc/UTC false 12:30 12:30", "ScheduleInPlace", status.CurrentStatus},
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
		"somebody else's CronJob": {
			func(s *scene) { s.foreign, s.cronJob = s.cronJob, nil }, "", "NameTaken", status.FailedStatus,
		},
		"arguments that no run could take": {func(s *scene) {
			s.recurring.Spec.Template.Args = &apiextensionsv1.JSON{Raw: []byte(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}
		}, "", "InvalidArguments", status.FailedStatus},
		"no workspace": {func(s *scene) { s.workspace = nil }, "", "NotInWorkspace", status.FailedStatus},
		"a CronJob that the API server refuses": {
			func(s *scene) {
				s.refusals = map[string]refusal{theCronJob: {message: "no", stalled: true, after: time.Minute}}
			}, "", "CronJobRefused", status.FailedStatus,
		},
		"a run that the API server refuses for now": {
			func(s *scene) { s.refusals = map[string]refusal{"daily-1": {message: "quota", after: time.Minute}} }, "", "JobRefused", status.InProgressStatus,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hourly().at(30)
			c.change(s)
			if got := testenv.Verdict(t, s.recurring); got != status.InProgressStatus {
				t.Errorf("before the operator has seen it: %s", got)
			}
			d := decide(s.observed)
			applied := ""
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
			if got := conditions.Reason(d.status.Conditions); got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
			if halted := d.halt != nil; halted != (c.reason == "NotInWorkspace") {
				t.Errorf("halted: %t", halted)
			}
			s.recurring.Status = d.status
			if got := testenv.Verdict(t, s.recurring); got != c.verdict {
				t.Errorf("kstatus says %s, want %s", got, c.verdict)
			}
			if d.apply != nil {
				s.cronJob = d.apply
				if again := decide(s.at(31).observed); again.apply != nil {
					t.Errorf("it is applied again: %s", cmp.Diff(s.cronJob, again.apply))
				}
			}
		})
	}
}
