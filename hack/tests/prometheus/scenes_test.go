package prometheus

import "strings"

var failureScenes = map[string]map[string]scene{
	"WorkspaceJobsFailed": {
		"one more":          {[]string{jobs("Failed", "4x60 5x10")}, 65, []string{acme}},
		"yesterday's":       {[]string{jobs("Failed", "4x10 5x120")}, 120, nil},
		"some were removed": {[]string{jobs("Failed", "5x60 3x10")}, 65, nil},
		"another pod leads": {[]string{jobs("Failed", "5x60"), `workspace_jobs_jobs{queue="workspace_acme", state="Failed", pod="b"} _x61 5x20`}, 70, nil},
	},
	"WorkspaceJobsAttemptsFailing": {
		"two of three": {[]string{attempts("Failed", "0+2x60"), attempts("Succeeded", "0+1x60")}, 55, []string{acme}},
		"one of three": {[]string{attempts("Failed", "0+1x60"), attempts("Succeeded", "0+2x60")}, 55, nil},
		"a few in all": {[]string{attempts("Failed", "0x30 2x60"), attempts("Succeeded", "0x90")}, 55, nil},
		"cancelled":    {[]string{attempts("Cancelled", "0+4x60"), attempts("Succeeded", "0+1x60")}, 55, nil},
		"replaced":     {[]string{attempts("Replaced", "0+4x60"), attempts("Succeeded", "0+1x60")}, 55, nil},
		"a bad moment": {[]string{attempts("Failed", "0x50 0+9x4 36x20"), attempts("Succeeded", "0+1x80")}, 55, nil},
	},
	"WorkspaceJobsNotStarted": born(func(values string) string { return attempts("NotStarted", values) }),
}

func attempts(outcome, values string) string {
	return `workspace_jobs_attempts_total{queue="workspace_acme", outcome="` + outcome + `"} ` + values
}

// born returns the scenes of an alert that fires for a single event within an hour.
func born(counter func(values string) string) map[string]scene {
	return map[string]scene{
		"the first ever":     {[]string{counter("_x100 1x40")}, 120, []string{acme}},
		"one more":           {[]string{counter("1x100 2x40")}, 120, []string{acme}},
		"the first of a pod": {[]string{podOf("a", counter("7x100")), podOf("b", counter("_x105 1x40"))}, 120, []string{acme}},
		"hours before":       {[]string{counter("_x10 1x300")}, 200, nil},
		"none":               {[]string{attempts("Succeeded", "0+1x300")}, 200, nil},
		// An hour after the gap, the series must not look new.
		"Prometheus was away": {[]string{counter("1x100 _x20 1x200")}, 172, nil},
	}
}

func podOf(pod, line string) string { return strings.Replace(line, "{", `{pod="`+pod+`",`, 1) }

var scheduleScenes = map[string]map[string]scene{
	"WorkspaceJobsRecurringJobFailing": {
		"two fail":    {[]string{failing("0x10 2x20")}, 20, []string{acme}},
		"none fails":  {[]string{failing("0x30")}, 20, nil},
		"it is fixed": {[]string{failing("2x18 0x10")}, 20, nil},
	},
	"WorkspaceJobsRunsMissed": born(func(values string) string { return `workspace_jobs_missed_runs_total` + acme + ` ` + values }),
	"WorkspaceJobsRunsSkipped": {
		"three":           {[]string{skipped("4x70 5x10 6x10 7x40")}, 120, []string{acme}},
		"three, of a pod": {[]string{skipped("_x100 1x5 2x5 3x20")}, 120, []string{acme}},
		"two":             {[]string{skipped("4x70 5x10 6x60")}, 120, nil},
		"long ago":        {[]string{skipped("4x10 9x200")}, 180, nil},
	},
	"WorkspaceJobsSchedulesLate": {
		"ten minutes":       {late("0x60", "0+1x60", "0+1x60"), 55, []string{acme}},
		"in time":           {late("0+1x60", "0+1x60", "0+1x60"), 55, nil},
		"one of a thousand": {late("0+999x60", "0+1000x60", "0+1000x60"), 55, nil},
		"nothing was due":   {late("5x60", "9x60", "9x60"), 55, nil},
	},
}

func failing(values string) string {
	return `workspace_jobs_recurring_jobs_failing` + acme + ` ` + values
}

func skipped(values string) string {
	return `workspace_jobs_skipped_runs_total` + acme + ` ` + values
}

// late returns a histogram with the number of runs at most 300 s late, at most 900 s late, and in
// all.
func late(in300, in900, all string) []string {
	var lines []string
	for le, values := range map[string]string{"300.0": in300, "900.0": in900, "+Inf": all} {
		lines = append(lines, `workspace_jobs_schedule_lateness_seconds_bucket{queue="workspace_acme", le="`+le+`"} `+values)
	}
	return lines
}
