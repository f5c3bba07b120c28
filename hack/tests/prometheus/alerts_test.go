package prometheus

import (
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
)

// scene is what Prometheus has scraped, and the labels for which the alert fires.
type scene struct {
	series []string
	minute int
	fires  []string
}

const acme = `{queue="workspace_acme"}`

// TestAlertsFireWhenTheyShould evaluates the alerts with Prometheus' own engine.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	for _, rule := range alerts(t) {
		t.Run(rule.Alert, func(t *testing.T) {
			t.Parallel()
			scenes := scenesOf(rule.Alert)
			var loud, silent bool
			for name, s := range scenes {
				got := parseSeries(t, s.series).firing(t, &rule, s.minute)
				if !slices.Equal(got, s.fires) {
					t.Errorf("%s: fires for %q, want %q", name, got, s.fires)
				}
				loud, silent = loud || len(s.fires) > 0, silent || len(s.fires) == 0
			}
			if !loud || !silent {
				t.Errorf("it needs a scene in which it fires and one in which it doesn't")
			}
		})
	}
}

func scenesOf(alert string) map[string]scene {
	for _, of := range []map[string]map[string]scene{operatorScenes, queueScenes, failureScenes, scheduleScenes} {
		if scenes, ok := of[alert]; ok {
			return scenes
		}
	}
	return nil
}

// TestScenesAreOfAlerts checks that each scene belongs to an alert: that of a renamed one would
// test nothing.
func TestScenesAreOfAlerts(t *testing.T) {
	t.Parallel()
	rules := alerts(t)
	for _, of := range []map[string]map[string]scene{operatorScenes, queueScenes, failureScenes, scheduleScenes} {
		for name := range of {
			if !slices.ContainsFunc(rules, func(rule rulefmt.Rule) bool { return rule.Alert == name }) {
				t.Errorf("there is no alert %s", name)
			}
		}
	}
}

var operatorScenes = map[string]map[string]scene{
	"WorkspaceJobsOperatorDown": {
		"it does not answer":     {[]string{`up{job="workspace-jobs", pod="a"} 1x10 0x20`}, 20, []string{`{}`}},
		"no target of its job":   {[]string{`up{job="other"} 1x30`}, 20, []string{`{}`}},
		"one of two answers":     {[]string{`up{job="workspace-jobs", pod="a"} 0x30`, `up{job="workspace-jobs", pod="b"} 1x30`}, 20, nil},
		"it missed some scrapes": {[]string{`up{job="workspace-jobs", pod="a"} 1x10 0x3 1x20`}, 14, nil},
	},
	"WorkspaceJobsNoLeader": {
		"both wait":   {[]string{leader("a", "0x30"), leader("b", "0x30")}, 20, []string{`{}`}},
		"one leads":   {[]string{leader("a", "0x30"), leader("b", "1x30")}, 20, nil},
		"it moves on": {[]string{leader("a", "1x10 0x20"), leader("b", "0x13 1x20")}, 14, nil},
	},
	"WorkspaceJobsOperatorStuck": {
		"work waits":   {[]string{reconciles("700x40"), depth("0", "0x10 5x30")}, 30, []string{`{}`}},
		"it is idle":   {[]string{reconciles("700x40"), depth("0", "0x40")}, 30, nil},
		"it works":     {[]string{reconciles("700+2x40"), depth("0", "5x40")}, 30, nil},
		"just started": {[]string{reconciles("0x3"), depth("0", "5x3")}, 3, nil},
	},
	"WorkspaceJobsOperatorRestarts": {
		"three times":  {[]string{started("10x10 20x10 30x10 40x10")}, 40, []string{`{job="workspace-jobs", pod="a"}`}},
		"once":         {[]string{started("10x10 20x30")}, 40, nil},
		"a day before": {[]string{started("10x10 20x10 30x10 40x200")}, 200, nil},
	},
	"WorkspaceJobsReconcileErrors": {
		"one in five":      {[]string{reconciles("0+5x60"), errorsOf("0+1x60")}, 50, []string{`{controller="workspacejob"}`}},
		"one in a hundred": {[]string{reconciles("0+100x60"), errorsOf("0+1x60")}, 50, nil},
		"it is idle":       {[]string{reconciles("5x60"), errorsOf("1x60")}, 50, nil},
		"for some minutes": {[]string{reconciles("0+5x60"), errorsOf("0x40 0+3x4 12x20")}, 50, nil},
	},
	"WorkspaceJobsOperatorBehind": {
		"over two priorities": {[]string{depth("0", "600x40"), depth("-100", "600x40")}, 30, []string{`{name="workspacejob"}`}},
		"it catches up":       {[]string{depth("0", "2000x9 0x40")}, 8, nil},
		"a little":            {[]string{depth("0", "300x40")}, 30, nil},
	},
}

func leader(pod, values string) string {
	return `leader_election_master_status{job="workspace-jobs", name="workspace-jobs-manager", pod="` + pod + `"} ` + values
}

func reconciles(values string) string {
	return `controller_runtime_reconcile_total{job="workspace-jobs", controller="workspacejob", result="success"} ` + values
}

func errorsOf(values string) string {
	return `controller_runtime_reconcile_errors_total{job="workspace-jobs", controller="workspacejob"} ` + values
}

func depth(priority, values string) string {
	return `workqueue_depth{job="workspace-jobs", name="workspacejob", priority="` + priority + `"} ` + values
}

func started(values string) string {
	return `process_start_time_seconds{job="workspace-jobs", pod="a"} ` + values
}

var queueScenes = map[string]map[string]scene{
	"WorkspaceJobsQueueBlocked": {
		"nothing runs": {
			[]string{oldest("0+60x60"), jobs("Processing", "0x60"), limit("20x60"), `workspace_jobs_queue_limit{queue="workspace_globex"} 20x60`},
			40, []string{acme},
		},
		"one runs":                 {[]string{oldest("0+60x60"), jobs("Processing", "1x60"), limit("20x60")}, 40, nil},
		"it is paused":             {[]string{oldest("0+60x60"), jobs("Processing", "0x60"), limit("0x60")}, 40, nil},
		"it has not waited long":   {[]string{oldest("0+60x10 0x50"), jobs("Processing", "0x60"), limit("20x60")}, 40, nil},
		"the leader has moved":     {[]string{oldest("1200x30"), jobs("Processing", "0x30"), podLimit("a", "20x30"), podLimit("b", "_x31 20x30")}, 34, []string{acme}},
		"the leader has just come": {[]string{podLimit("b", "_x31 20x30"), oldest("0x60"), jobs("Processing", "0x60")}, 40, nil},
	},
	"WorkspaceJobsWaitingLong": {
		"though others run": {[]string{oldest("0+60x120"), jobs("Processing", "20x120"), limit("20x120")}, 90, []string{acme}},
		"for some minutes":  {[]string{oldest("0+60x120"), limit("20x120")}, 65, nil},
		"half an hour":      {[]string{oldest("1800x120"), limit("20x120")}, 90, nil},
		"it is paused":      {[]string{oldest("0+60x120"), limit("0x120")}, 90, nil},
	},
	"WorkspaceJobsQueuePaused": {
		"forgotten":     {[]string{limit("20x10 0x300"), jobs("Enqueued", "3x310")}, 280, []string{acme}},
		"for an hour":   {[]string{limit("20x220 0x80"), jobs("Enqueued", "3x310")}, 280, nil},
		"nothing waits": {[]string{limit("20x10 0x300"), jobs("Enqueued", "0x310")}, 280, nil},
	},
}

func oldest(values string) string {
	return `workspace_jobs_oldest_waiting_seconds` + acme + ` ` + values
}
func limit(values string) string { return `workspace_jobs_queue_limit` + acme + ` ` + values }

func podLimit(pod, values string) string {
	return `workspace_jobs_queue_limit{queue="workspace_acme", pod="` + pod + `"} ` + values
}

func jobs(state, values string) string {
	return `workspace_jobs_jobs{queue="workspace_acme", state="` + state + `"} ` + values
}
