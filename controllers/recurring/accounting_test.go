package recurring

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/quick"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

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
	lastAt := func(minutes int) func(*v1alpha1.WorkspaceRecurringJobStatus) {
		return func(s *v1alpha1.WorkspaceRecurringJobStatus) { s.LastScheduledAt = when(minutes) }
	}
	triggered := func(s *scene) *scene {
		run := &s.runs[0]
		run.OwnerReferences, run.Annotations = nil, nil
		run.Spec = v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: "daily"}}
		return s
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
		"a skipped run is not the last run": {
			hourly().at(62).run(60, "Deleted", "Skipped").status(active(60)), outline{Last: "13:00", Skipped: 1, Failures: 2},
		},
		"a run that was created and ended between two reconciles": {
			hourly().at(62).tick(60).started().run(60, "Failed", "PermanentFailure"), outline{Last: "13:00", LastRun: "13:00 Failed", Failures: 1},
		},
		"a triggered run that was created and ended between two reconciles": {
			triggered(hourly().at(62).run(60, "Failed", "InvalidArguments")), outline{LastRun: "13:00 Failed", Failures: 1},
		},
		"a triggered run that ended before status.lastRun": {
			triggered(hourly().at(300).run(60, "Failed", "RetriesExhausted").status(func(s *v1alpha1.WorkspaceRecurringJobStatus) {
				s.LastRun = &v1alpha1.LastRun{Name: runName(120), State: "Failed", FinishedAt: *when(121)}
			})), outline{LastRun: "14:00 Failed"},
		},
		"a triggered run that was skipped": {triggered(hourly().at(62).run(60, "Deleted", "Skipped")), outline{}},
		"a failure that ended before the last success": {
			hourly().at(300).run(60, "Failed", "RetriesExhausted").status(active(60)).status(func(s *v1alpha1.WorkspaceRecurringJobStatus) {
				s.LastSucceededAt, s.ConsecutiveFailures = when(121), 0
			}), outline{Last: "13:00", LastRun: "13:00 Failed", LastSuccess: "14:01"},
		},
		"a run that was replaced after it had begun counts as Deleted": {
			func() *scene {
				s := hourly().at(62).run(60, "Deleted", "Replaced").status(active(60))
				s.runs[0].Status.StartedAt = when(60)
				return s
			}(), outline{Last: "13:00", LastRun: "13:00 Deleted", Failures: 2},
		},
		"what was reported before is not reported again": {hourly().at(62).run(60, "Failed", "RetriesExhausted").status(lastAt(60)), outline{Last: "13:00"}},
		"in the order of their ends": {
			hourly().at(300).run(120, "Failed", "RetriesExhausted").run(60, "Succeeded", "Succeeded").status(active(60, 120)),
			outline{Last: "14:00", LastRun: "14:00 Failed", LastSuccess: "13:01", Failures: 1},
		},
		"the oldest are removed": {
			keep(hourly(), 1, 2).at(400).run(60, "Succeeded", "").run(120, "Succeeded", "").run(180, "Failed", "").run(240, "Failed", "").run(300, "Failed", "").status(lastAt(300)),
			outline{Last: "17:00", Runs: "15:00 13:00"},
		},
		"runs that were Deleted have the limit of those that Succeeded": {
			keep(hourly(), 1, 0).at(400).run(60, "Deleted", "Skipped").run(120, "Deleted", "Skipped").run(180, "Succeeded", "").status(lastAt(300)),
			outline{Last: "17:00", Runs: "13:00"},
		},
		"an unfinished run is not part of the history": {
			keep(hourly(), 0, 0).at(400).run(60, "Scheduled", "").status(lastAt(60)), outline{Last: "13:00", Active: "13:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, outlineOf(c.s.decide())); diff != "" {
				t.Errorf("decide (-want +got):\n%s", diff)
			}
			onlyOnce(t, c.s)
		})
	}
}

// TestATriggeredRunIsCountedOnce ends a run while the operator is down. The cache of the
// next operator may have neither the run nor its end at first. No time of a schedule shows
// that the status has counted such a run already.
func TestATriggeredRunIsCountedOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(quick.Few(200)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := simulateCalmly(t, seed)
			run := world.Add(s.w, &v1alpha1.WorkspaceJob{
				ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: "triggered"},
				Spec:       v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: "daily"}},
			})
			s.hearAll()
			s.reconcile()
			s.w.Change(run, func(run client.Object) { s.end(run, v1alpha1.StateFailed) })
			s.restart()
			s.reconcile()
			for range 2 {
				s.w.Hear("WorkspaceJob")
				s.hearAll("WorkspaceRecurringJob")
				s.reconcile()
			}
			if status := s.recurring().Status; status.ConsecutiveFailures != 1 || len(status.Active) > 0 {
				t.Errorf("%d failures, %v unfinished", status.ConsecutiveFailures, status.Active)
			}
		})
	}
}
