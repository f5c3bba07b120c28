package workspace

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestHistoryOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 20, 10, 30, 0, 0, time.UTC)
	hour := func(ago int) metav1.Time {
		return metav1.NewTime(now.Add(-time.Duration(ago) * time.Hour).Truncate(time.Hour))
	}
	job := func(state v1alpha1.JobState, ago time.Duration) v1alpha1.WorkspaceJob {
		return v1alpha1.WorkspaceJob{Status: v1alpha1.WorkspaceJobStatus{State: state, FinishedAt: new(metav1.NewTime(now.Add(-ago)))}}
	}
	jobs := []v1alpha1.WorkspaceJob{
		job(v1alpha1.StateSucceeded, time.Minute), job(v1alpha1.StateSucceeded, 29*time.Minute), job(v1alpha1.StateFailed, 31*time.Minute),
		job(v1alpha1.StateDeleted, time.Minute), job(v1alpha1.StateSucceeded, 8*24*time.Hour), job(v1alpha1.StateSucceeded, -2*time.Hour),
		{Status: v1alpha1.WorkspaceJobStatus{State: v1alpha1.StateProcessing}},
	}
	want := []v1alpha1.HourCount{{Hour: hour(1), Failed: 1}, {Hour: hour(0), Succeeded: 2}}
	got := historyOf(nil, jobs, now)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, historyOf(got, jobs, now)); diff != "" {
		t.Errorf("counted twice (-once +twice):\n%s", diff)
	}
	if diff := cmp.Diff(got, historyOf(got, nil, now)); diff != "" {
		t.Errorf("its jobs are deleted (-before +after):\n%s", diff)
	}
	old := []v1alpha1.HourCount{{Hour: hour(7*24 + 1), Succeeded: 9}, {Hour: hour(7 * 24), Succeeded: 3}, {Hour: hour(0), Succeeded: 1}}
	want = []v1alpha1.HourCount{{Hour: hour(7 * 24), Succeeded: 3}, {Hour: hour(1), Failed: 1}, {Hour: hour(0), Succeeded: 2}}
	if diff := cmp.Diff(want, historyOf(old, jobs, now)); diff != "" {
		t.Errorf("after a week (-want +got):\n%s", diff)
	}
}

func TestHistoryHasItsLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 20, 10, 30, 0, 0, time.UTC)
	var jobs []v1alpha1.WorkspaceJob
	for i := range 400 {
		jobs = append(jobs, v1alpha1.WorkspaceJob{Status: v1alpha1.WorkspaceJobStatus{
			State: v1alpha1.StateFailed, FinishedAt: new(metav1.NewTime(now.Add(-time.Duration(i) * time.Hour))),
		}})
	}
	// The schema takes 169.
	if got := len(historyOf(nil, jobs, now)); got != 169 {
		t.Errorf("%d hours", got)
	}
}
