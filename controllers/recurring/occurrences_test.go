package recurring

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

func TestDecideAboutOccurrences(t *testing.T) {
	t.Parallel()
	lastAt := func(minutes int) func(*v1alpha1.WorkspaceRecurringJobStatus) {
		return func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastScheduledAt = when(minutes) }
	}
	resumed := func(s *scene, minutes int) *scene {
		s.cronJob.Annotations[v1alpha1.AnnotationRunningSince] = at(minutes).Format(time.RFC3339)
		return s
	}
	refusing := func(s *scene, name string, why report.Refusal) *scene {
		s.refuse(name, why)
		return s
	}
	taken := refusing(hourly().at(60).tick(60), runName(60), report.Refusal{Kind: report.NameTaken})
	takenFirst := refusing(hourly().at(121).tick(60).tick(120), runName(60), report.Refusal{Kind: report.NameTaken})
	refused := refusing(hourly().at(121).tick(60).tick(120), runName(60), report.Refusal{Kind: report.Forbidden, Message: "quota"})
	behind := refusing(hourly().at(241).tick(60).tick(120).run(180, "Failed", ""), runName(120), report.Refusal{Kind: report.Forbidden, Message: "quota"})
	behind.recurring.Spec.History = &v1alpha1.History{Failed: new(int32(0))}
	cronJobRefused := hourly().at(61).tick(60)
	cronJobRefused.cronJobRefused = &report.Refusal{Kind: report.Invalid, Message: "no"}
	cronJobRefused.recurring.Spec.Template.Handler = "report"
	homeless := hourly().at(61).tick(60)
	homeless.workspace = nil
	changed := func(change func(*batchv1.Job)) *scene {
		s := hourly().at(61).tick(60)
		change(&s.ticks[0])
		return s
	}
	renamed := func(s *scene, name string) *scene {
		s.runs[0].Name = name
		return s
	}

	for name, c := range map[string]struct {
		s    *scene
		want outline
	}{
		"nothing is due":                  {hourly(), outline{}},
		"a tick becomes a run":            {hourly().at(60).tick(60), outline{Create: "13:00", Last: "13:00", Active: "13:00"}},
		"a tick that already has its run": {hourly().at(60).tick(60).run(60, "Enqueued", "").status(lastAt(60)), outline{Last: "13:00", Active: "13:00"}},
		"the operator died after making the run": {
			hourly().at(60).tick(60).run(60, "Enqueued", ""), outline{Last: "13:00", Active: "13:00"},
		},
		"two ticks at once, oldest first": {
			hourly().at(121).tick(120).tick(60), outline{Create: "13:00 14:00", Last: "14:00", Active: "13:00 14:00"},
		},
		"a time without a tick was missed": {
			hourly().at(181).tick(60).run(60, "Processing", "").tick(180).status(lastAt(60)),
			outline{Create: "15:00", Last: "15:00", LastMissed: "14:00", Missed: 1, Active: "13:00 15:00"},
		},
		"times before the schedule was in force were not missed": {hourly().at(60).tick(60), outline{Create: "13:00", Last: "13:00", Active: "13:00"}},
		"times while it was suspended were not missed":           {resumed(hourly(), 230).at(240).tick(240).status(lastAt(60)), outline{Create: "16:00", Last: "16:00", Active: "16:00"}},
		"the newest of these may start when it is resumed":       {resumed(hourly(), 200).at(201).tick(180).status(lastAt(60)), outline{Create: "15:00", Last: "15:00", Active: "15:00"}},
		"a time before the schedule was changed was never due": {
			changed(func(tick *batchv1.Job) {
				tick.Annotations[v1alpha1.AnnotationScheduleSince] = at(61).Format(time.RFC3339)
			}), outline{Ticks: "13:00"},
		},
		"a tick that was reported and has no run is a leftover": {
			hourly().at(61).tick(60).status(lastAt(60)), outline{Ticks: "13:00", Last: "13:00"},
		},
		"a tick whose run is gone is removed": {hourly().at(61).tick(60).started().status(lastAt(60)), outline{Ticks: "13:00", Last: "13:00"}},
		"a tick that a person has started": {
			changed(func(tick *batchv1.Job) { tick.Spec.Suspend = new(false) }), outline{LastMissed: "13:00", Missed: 1},
		},
		"a tick that does not say what it runs, without a run": {
			changed(func(tick *batchv1.Job) { delete(tick.Annotations, v1alpha1.AnnotationTemplate) }),
			outline{Create: "13:00", Last: "13:00", Active: "13:00"},
		},
		"a tick that does not say what it runs, with its run": {
			changed(func(tick *batchv1.Job) { tick.Annotations[v1alpha1.AnnotationTemplate] = "{" }).run(60, "Enqueued", ""),
			outline{Ticks: "13:00", Last: "13:00", Active: "13:00"},
		},
		"a tick that does not say when it was due": {
			changed(func(tick *batchv1.Job) { tick.Annotations[batchv1.CronJobScheduledTimestampAnnotation] = "noon" }),
			outline{Create: "13:00", Last: "13:00", Active: "13:00"},
		},
		"a tick that was started for an earlier run of its name": {
			changed(func(tick *batchv1.Job) { tick.Annotations[v1alpha1.AnnotationJobUID] = "another" }).run(60, "Enqueued", "").status(lastAt(60)),
			outline{Ticks: "13:00", Last: "13:00", Active: "13:00"},
		},
		"a run whose tick is gone": {
			hourly().at(62).run(60, "Deleted", "Skipped"), outline{Last: "13:00", Skipped: 1},
		},
		"a run whose tick is gone was not missed": {
			hourly().at(122).run(60, "Enqueued", "").tick(120), outline{Create: "14:00", Last: "14:00", Active: "13:00 14:00"},
		},
		"a run that says it is due later hides no tick": {
			hourly().at(60).run(600, "Enqueued", "").at(61).tick(60), outline{Create: "13:00", Last: "13:00", Active: "22:00 13:00"},
		},
		"a run that says it was due at a time of no tick": {
			renamed(hourly().at(61).run(60, "Enqueued", ""), runName(30)), outline{Active: "12:30"},
		},
		"no workspace: ticks wait":   {homeless, outline{}},
		"a tick within the deadline": {hourly().deadline(10 * time.Minute).at(70).tick(60), outline{Create: "13:00", Last: "13:00", Active: "13:00"}},
		"a tick after the deadline, and a time before it": {
			hourly().deadline(10 * time.Minute).at(131).tick(120), outline{Ticks: "14:00", LastMissed: "14:00", Missed: 2},
		},
		"a tick after the deadline is missed":         {hourly().deadline(10 * time.Minute).at(71).tick(60), outline{Ticks: "13:00", LastMissed: "13:00", Missed: 1}},
		"no tick within the deadline: it is missed":   {hourly().deadline(10 * time.Minute).at(72), outline{LastMissed: "13:00", Missed: 1}},
		"no tick, and the deadline is not over":       {hourly().deadline(10 * time.Minute).at(70), outline{}},
		"no tick and no deadline: it may still start": {hourly().at(110), outline{}},
		"a missed run is counted once": {
			hourly().deadline(10 * time.Minute).at(73).status(func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastMissedAt, s.MissedRuns = when(60), 1 }),
			outline{LastMissed: "13:00", Missed: 1},
		},
		"another owner's WorkspaceJob has the name": {taken, outline{Ticks: "13:00", LastMissed: "13:00", Missed: 1}},
		"another owner's WorkspaceJob has the name, but not the next run's": {
			takenFirst, outline{Create: "14:00", Ticks: "13:00", Last: "14:00", LastMissed: "13:00", Missed: 1, Active: "14:00"},
		},
		"a run that is refused is not lost": {refused, outline{}},
		"nor is a run behind it, though it has ended": {
			behind, outline{Create: "13:00", Last: "13:00", Active: "13:00"},
		},
		"the CronJob is refused, and runs are due": {
			cronJobRefused, outline{Create: "13:00", Last: "13:00", Active: "13:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := c.s.recurring.DeepCopy()
			if diff := cmp.Diff(c.want, outlineOf(c.s.decide())); diff != "" {
				t.Errorf("decide (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, c.s.recurring); diff != "" {
				t.Errorf("decide changed what it was given:\n%s", diff)
			}
			onlyOnce(t, c.s)
		})
	}
}

// TestNotMoreRunsThanTheStatusCanName checks that no run is created that the status can't
// name, and so could not account for.
func TestNotMoreRunsThanTheStatusCanName(t *testing.T) {
	t.Parallel()
	s := hourly().at(182).tick(60).tick(120).tick(180)
	for i := range maxActive - 2 {
		s.run(60, v1alpha1.StateEnqueued, "")
		s.runs[i].Name = fmt.Sprintf("by-hand-%d", i)
	}
	d := s.decide()
	if got := minutes([]string{d.create[0].Name, d.create[1].Name}); len(d.create) != 2 || got != "13:00 14:00" {
		t.Errorf("%d runs are created", len(d.create))
	}
	d = s.acted(d).decide()
	if len(d.create) > 0 || len(d.status.Active) != maxActive || !d.status.LastScheduledAt.Equal(when(120)) || report.Reason(d.status.Conditions) != v1alpha1.ReasonJobRefused {
		t.Errorf("then %d, %d are active: %v", len(d.create), len(d.status.Active), d.status.Conditions)
	}
}
