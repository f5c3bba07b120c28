package calendar

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/schedule"
	"github.com/openradius/workspace-jobs/hack/env/page"
)

var docs = page.Page{
	Path: "../../../docs/schedules.md", Writer: "hack/tests/calendar", Rewrite: "UPDATE=1 go -C hack/tests/calendar test",
}

// TestCalendar runs all cases and compares the results with the page. UPDATE=1 writes the page
// instead.
func TestCalendar(t *testing.T) {
	found := map[string]string{"steady": steadyTable(t), "changes": changesTable(t)}
	if t.Failed() || found["steady"] == "" || found["changes"] == "" {
		return // if none failed, -run left out cases
	}
	docs.Compare(t, found, os.Getenv("UPDATE") != "")
}

func steadyTable(t *testing.T) string {
	t.Helper()
	rows := make([][]string, len(groups))
	for i := range groups {
		rows[i] = make([]string, len(groups[i].steadies))
	}
	t.Run("steady", func(t *testing.T) {
		for i := range groups {
			for j := range groups[i].steadies {
				c := &groups[i].steadies[j]
				t.Run(c.schedule+" "+c.zone, func(t *testing.T) {
					t.Parallel()
					rows[i][j] = fmt.Sprintf("| `%s`%s | %s | %s | %s |", c.schedule, numbers(t, c.schedule), c.zone, list(t, c.run(t), c.zone), c.says)
				})
			}
		}
	})
	var table strings.Builder
	for i, g := range groups {
		if slices.Contains(rows[i], "") {
			return ""
		}
		fmt.Fprintf(&table, "### %s\n\n| schedule | time zone | due, and fired | |\n| --- | --- | --- | --- |\n%s\n\n", g.what, strings.Join(rows[i], "\n"))
	}
	return strings.TrimSpace(table.String()) + "\n"
}

func changesTable(t *testing.T) string {
	t.Helper()
	tables := make([]string, len(changes))
	t.Run("changes", func(t *testing.T) {
		for i := range changes {
			c := &changes[i]
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				tables[i] = fmt.Sprintf(
					"### %s\n\n`schedule: %s`\n\n| at | | nextScheduledAt |\n| --- | --- | --- |\n%s", c.what, c.schedule, timeline(c.run(t)))
			})
		}
	})
	if slices.Contains(tables, "") {
		return ""
	}
	return strings.Join(tables, "\n")
}

func timeline(lines []line) string {
	var rows strings.Builder
	for _, l := range lines {
		next := "none"
		if !l.next.IsZero() {
			next = clock(l.next)
		}
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", clock(l.at), l.does, next)
	}
	return rows.String()
}

// numbers returns the schedule with a number for each H, if it has any.
func numbers(t *testing.T, expression string) string {
	t.Helper()
	s, err := schedule.Parse(expression, utc, namespace+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	if s.String() == expression {
		return ""
	}
	return fmt.Sprintf(", of `%s/%s`: `%s`", namespace, name, s)
}

func clock(t time.Time) string { return t.UTC().Format("2 Jan 15:04") }

// shortly formats a duration as 1h or 30m, not 1h0m0s or 30m0s.
func shortly(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		return strings.TrimSuffix(text, "0m")
	}
	return text
}

// list formats times in a zone: days with the same times share a line.
func list(t *testing.T, times []time.Time, zone string) string {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	var dates []time.Time
	var clocks string
	flush := func() {
		if len(dates) > 0 {
			lines = append(lines, dateList(dates)+": "+clocks)
		}
	}
	for _, ofDay := range byDay(times, location) {
		if c := clockList(ofDay); c != clocks {
			flush()
			dates, clocks = nil, c
		}
		dates = append(dates, ofDay[0])
	}
	flush()
	return strings.Join(lines, "<br>")
}

func byDay(times []time.Time, location *time.Location) [][]time.Time {
	var all [][]time.Time
	for _, t := range times {
		t = t.In(location)
		if n := len(all) - 1; n >= 0 && all[n][0].Format(time.DateOnly) == t.Format(time.DateOnly) {
			all[n] = append(all[n], t)
			continue
		}
		all = append(all, []time.Time{t})
	}
	return all
}

// dateList formats dates, as in: 29 Mar, 30 Mar 2026.
func dateList(dates []time.Time) string {
	var text []string
	for i, d := range dates {
		format := "2 Jan 2006"
		if i+1 < len(dates) && dates[i+1].Year() == d.Year() {
			format = "2 Jan"
		}
		text = append(text, d.Format(format))
	}
	return strings.Join(text, ", ")
}

// clockList formats times of day, as in: 00:00, 01:00 (+01:00), 03:00 (+02:00).
func clockList(times []time.Time) string {
	var text []string
	for i, t := range times {
		format := "15:04 (-07:00)"
		if i+1 < len(times) && times[i+1].Format("-07:00") == t.Format("-07:00") {
			format = "15:04"
		}
		text = append(text, t.Format(format))
	}
	return strings.Join(text, ", ")
}
