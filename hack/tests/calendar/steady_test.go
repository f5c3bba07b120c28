package calendar

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openradius/workspace-jobs/api/schedule"
)

// steady is a case with a schedule that does not change. Where daylight saving time matters, the
// dates are in the past: the law may still change for the future.
type steady struct {
	schedule, zone string
	// from is when the CronJob is created, watched how long the case runs.
	from    time.Time
	watched time.Duration
	// says explains the case to readers of the page.
	says string
}

// group is a group of cases with something in common.
type group struct {
	what     string
	steadies []steady
}

const days = 24 * time.Hour

func day(year int, month time.Month, day, hour int) time.Time {
	return time.Date(year, month, day, hour, 0, 0, 0, time.UTC)
}

var groups = []group{
	{"Spring gap: the clocks skip an hour", []steady{
		{"30 2 * * *", "Europe/Berlin", day(2026, time.March, 28, 0), 3 * days, "29 March has no 02:30, and no run"},
		{"30 2 * * *", "America/New_York", day(2026, time.March, 7, 0), 3 * days, "8 March has none either"},
		{"0 3 * * *", "Europe/Berlin", day(2026, time.March, 28, 0), 3 * days, "03:00 exists: it follows 01:59"},
		{"@hourly", "Europe/Berlin", day(2026, time.March, 28, 22), 6 * time.Hour, "every hour that exists"},
		{"*/15 1-3 * * *", "Europe/Berlin", day(2026, time.March, 28, 22), days / 2, "every quarter of an hour that exists"},
		{"H H(1-5) * * *", "Europe/Berlin", day(2026, time.March, 28, 0), 3 * days, "once a day, because H is outside the gap"},
	}},
	{"Autumn repeat: the clocks show an hour twice", []steady{
		{"30 2 * * *", "Europe/Berlin", day(2026, time.October, 24, 0), 3 * days, "25 October has two 02:30, and two runs"},
		{"30 1 * * *", "America/New_York", day(2026, time.October, 31, 0), 3 * days, "1 November has two 01:30, and two runs"},
		{"0 3 * * *", "Europe/Berlin", day(2026, time.October, 24, 0), 3 * days, "once a day"},
		{"@hourly", "Europe/Berlin", day(2026, time.October, 24, 21), 6 * time.Hour, "every hour, the repeated one too"},
		{"*/15 1-3 * * *", "Europe/Berlin", day(2026, time.October, 24, 21), days / 2, "every quarter of an hour, the repeated ones too"},
	}},
	{"The gap is at midnight", []steady{
		{"@daily", "Africa/Cairo", day(2026, time.April, 22, 0), 4 * days, "24 April begins at 01:00: it has no midnight, and no run"},
		{"0 0 * * fri", "Africa/Cairo", day(2026, time.April, 16, 0), 17 * days, "24 April is a Friday: that week has no run"},
		{"@weekly", "America/Havana", day(2026, time.February, 28, 0), 17 * days, "8 March is a Sunday: that week has no run"},
		{"30 5 * * fri", "Africa/Cairo", day(2026, time.April, 16, 0), 17 * days, "24 April has a 05:30, but no run: the library that Kubernetes uses looks for the day by its midnight"},
		{"30 5 24 * *", "Africa/Cairo", day(2026, time.March, 20, 0), 70 * days, "the same for a day of the month"},
		{"30 1 * * *", "Africa/Cairo", day(2026, time.April, 22, 0), 4 * days, "every day: 01:30 is never skipped, and no day is named"},
	}},
	{"Daylight saving time of half an hour", []steady{
		{"0 5 * * *", "Australia/Lord_Howe", day(2026, time.October, 2, 0), 4 * days, "no run on 4 October, though it has a 05:00: the library counts in whole hours"},
		{"0 5 * * *", "Australia/Lord_Howe", day(2026, time.April, 3, 0), 4 * days, "no run on 5 April either"},
		{"45 1 * * *", "Australia/Lord_Howe", day(2026, time.April, 3, 0), 4 * days, "5 April has two 01:45, and two runs"},
		{"0 1-6 * * *", "Australia/Lord_Howe", day(2026, time.October, 3, 12), days / 2, "every hour that exists"},
	}},
	{"A day that the calendar skipped", []steady{
		{"@daily", "Pacific/Apia", day(2011, time.December, 28, 0), 4 * days, "Samoa had no 30 December 2011"},
	}},
	{"29 February and month ends", []steady{
		{"0 0 29 2 *", "Etc/UTC", day(2027, time.January, 1, 0), 6 * 365 * days, "leap years only"},
		{"0 0 31 * *", "Etc/UTC", day(2027, time.January, 1, 0), 365 * days, "seven months of the year; no schedule says \"the last day\""},
		{"0 0 30 * *", "Etc/UTC", day(2027, time.January, 1, 0), 365 * days, "not in February"},
		{"0 12 */10 * *", "Etc/UTC", day(2027, time.February, 1, 0), 60 * days, "a step starts over with each month: 31 March, then 1 April"},
		{"@monthly", "Asia/Kolkata", day(2027, time.January, 1, 0), 120 * days, "in UTC, that is 18:30 of the month's last day"},
		{"0 0 13 * fri", "Etc/UTC", day(2026, time.November, 1, 0), 35 * days, "both day fields are set: matching one is enough"},
	}},
}

// run returns when the CronJob fires, and checks that nextScheduledAt always said so.
func (c *steady) run(t *testing.T) []time.Time {
	s, err := schedule.Parse(c.schedule, c.zone, namespace+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	end := c.from.Add(c.watched)
	var does []time.Time
	inCluster(t, c.from, func(cluster *cluster) {
		cluster.create(s.String(), c.zone)
		cluster.until(end)
		for _, tick := range cluster.ticks {
			if late := tick.made.Sub(tick.due); late < 0 || late > time.Second {
				t.Errorf("the Job for %v was created at %v", tick.due, tick.made)
			}
			does = append(does, tick.due.UTC())
		}
	})
	if len(does) == 0 {
		t.Fatal("it never fires")
	}
	created := c.from.Add(starting)
	if diff := cmp.Diff(s.Between(created, end, len(does)+1), does); diff != "" {
		t.Errorf("when it is due and when it fires (-due +fires):\n%s", diff)
	}
	c.saysAlways(t, s, created, does)
	return does
}

// moments is how often a case checks nextScheduledAt.
const moments = 1000

// saysAlways checks that at any moment, nextScheduledAt is when the CronJob fires next.
func (c *steady) saysAlways(t *testing.T, s *schedule.Schedule, created time.Time, does []time.Time) {
	t.Helper()
	last, next := created, 0
	for now := created; now.Before(c.from.Add(c.watched)); now = now.Add(c.watched / moments) {
		for next < len(does) && !does[next].After(now) {
			last = does[next]
			next++
		}
		says := s.Upcoming(last, now)
		if next < len(does) && !says.Equal(does[next]) {
			t.Fatalf("at %v, nextScheduledAt is %v, but the CronJob fires at %v", now, says, does[next])
		}
		if next == len(does) && says.Before(c.from.Add(c.watched)) {
			t.Fatalf("at %v, nextScheduledAt is %v, but the CronJob does not fire then", now, says)
		}
	}
}
