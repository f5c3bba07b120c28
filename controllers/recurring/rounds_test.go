package recurring

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestAnErrorIsReportedWithWhatIsKnown checks that nothing more is done after an error,
// and that the conditions stay for the retry to change.
func TestAnErrorIsReportedWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := hourly().at(121).run(60, "Succeeded", "").tick(120).status(func(s *v1alpha1.WorkspaceRecurringJobStatus) {
		s.LastScheduledAt, s.Active = when(60), []string{runName(60)}
	})
	s.recurring.Generation, s.recurring.Spec.Template.Handler = 2, "report"
	s.failed = errors.New("the API server is down")
	d := s.decide()
	if d.acts() {
		t.Errorf("it does %q", d.does())
	}
	want := outline{Last: "13:00", LastRun: "13:00 Succeeded", LastSuccess: "13:01"}
	if diff := cmp.Diff(want, outlineOf(d)); diff != "" {
		t.Errorf("decide (-want +got):\n%s", diff)
	}
	if d.status.ObservedGeneration == 2 || len(d.status.Conditions) > 0 {
		t.Errorf("the status is of generation %d: %v", d.status.ObservedGeneration, d.status.Conditions)
	}
	// A missed run might have been created: only the API server knows.
	d = decide(hourly().deadline(0).at(61).tick(60).after(errors.New("it is down")).observed)
	if d.acts() || d.status.MissedRuns > 0 {
		t.Errorf("%d missed, and it does %q", d.status.MissedRuns, d.does())
	}
}

func (s *scene) after(err error) *scene {
	s.failed = err
	return s
}

// TestRoundsAreBounded lets other owners have the names of many runs while there is
// room for one run: each round finds out about one name.
func TestRoundsAreBounded(t *testing.T) {
	t.Parallel()
	const taken = 12
	s := simulateCalmly(t, 1)
	for i := range maxActive - 1 {
		world.Add(s.w, &v1alpha1.WorkspaceJob{
			ObjectMeta: metav1.ObjectMeta{Namespace: "workspace-acme", Name: fmt.Sprintf("triggered-%d", i)},
			Spec:       v1alpha1.WorkspaceJobSpec{RecurringJobRef: &v1alpha1.RecurringJobRef{Name: "daily"}},
		})
	}
	for n := range taken {
		tick := tickOf(s.cronJob(), at(60*(n+1)))
		world.Add(s.w, tick)
		world.Add(s.w, &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: tick.Namespace, Name: tick.Name}})
	}
	s.w.Clock.SetTime(at(60*taken + 1))
	reconcile := func() (missed int64, err error) {
		s.hearAll()
		_, err = s.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s.recurring())})
		return s.recurring().Status.MissedRuns, err
	}
	missed, err := reconcile()
	if !errors.Is(err, report.ErrTooManyRounds) || missed == 0 || missed == taken {
		t.Errorf("%d of %d are missed after the first reconcile, whose error is %v", missed, taken, err)
	}
	for range 3 {
		missed, err = reconcile()
	}
	if err != nil || missed != taken || len(s.created) > 0 {
		t.Errorf("%d of %d are missed in the end, %d created: %v", missed, taken, len(s.created), err)
	}
}

// TestTheLogOfADecisionStaysShort checks the log of a tenant with thousands of runs.
func TestTheLogOfADecisionStaysShort(t *testing.T) {
	t.Parallel()
	var d decision
	for i := range 1000 {
		name := fmt.Sprintf("run-%d", i)
		d.doubts.runs = append(d.doubts.runs, name)
		d.create = append(d.create, v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	d.removeRuns, d.removeTicks = d.create, make([]batchv1.Job, 1000)
	if text := fmt.Sprint(d.does()); len(text) > 300 || !strings.Contains(text, `create runs "run-0", "run-1", "run-2" and 997 more`) {
		t.Errorf("%d bytes: %.300s", len(text), text)
	}
}
