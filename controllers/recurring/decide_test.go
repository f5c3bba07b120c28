package recurring

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outline is what a case expects of a decision.
type outline struct {
	Create, Ticks, Runs  string
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
	var create, ticks, runs []string
	for _, run := range d.create {
		create = append(create, run.Name)
	}
	for _, tick := range d.removeTicks {
		ticks = append(ticks, tick.Name)
	}
	for _, run := range d.removeRuns {
		runs = append(runs, run.Name)
	}
	o.Create, o.Ticks, o.Runs = minutes(create), minutes(ticks), minutes(runs)
	if last := d.status.LastRun; last != nil {
		o.LastRun = minutes([]string{last.Name}) + " " + string(last.State)
	}
	return o
}

// minutes names runs by the time of their ticks.
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

// onlyOnce checks that once a decision was carried out, another one counts nothing more,
// wherever the operator died in between.
func onlyOnce(t *testing.T, s *scene) {
	t.Helper()
	counted := func(d decision) outline {
		o := outlineOf(d)
		o.Create, o.Ticks, o.Runs = "", "", ""
		return o
	}
	first := s.decide()
	acted := s.acted(first)
	second := acted.decide()
	if diff := cmp.Diff(counted(first), counted(second)); diff != "" {
		t.Errorf("once the runs are created (-before +after):\n%s", diff)
	}
	third := outlineOf(acted.written(second).decide())
	if diff := cmp.Diff(counted(first), third); diff != "" {
		t.Errorf("once the status is written (-before +after):\n%s", diff)
	}
}
