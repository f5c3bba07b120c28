// Package schedule reads the schedules of recurring jobs and says when they are due.
//
// A schedule is what Kubernetes' CronJob controller takes, read by the library that
// it uses, so that both give the same times. Beyond that there is H, which stands for
// a number that is fixed by the recurring job's name. A few mistakes that Kubernetes
// takes silently are refused: an empty item of a list, a step longer than its field.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is when a recurring job is due. It does not change, and may be used by
// many goroutines.
type Schedule struct {
	text string
	spec cron.Schedule
}

// Parse reads a schedule and a time zone as a WorkspaceRecurringJob's spec has them.
// The seed fixes H; it is "<namespace>/<name>". An error is a [*ScheduleError] or a
// [*TimeZoneError].
func Parse(expression, timeZone, seed string) (*Schedule, error) {
	text, err := expand(expression, seed)
	if err != nil {
		return nil, err
	}
	if err := checkTimeZone(timeZone); err != nil {
		return nil, err
	}
	spec, err := cron.ParseStandard("TZ=" + timeZone + " " + text)
	if err != nil {
		return nil, &ScheduleError{Expression: expression, Problem: err.Error()}
	}
	if spec.Next(leapYear).IsZero() {
		return nil, &ScheduleError{Expression: expression, Problem: neverComes(text)}
	}
	return &Schedule{text: text, spec: spec}, nil
}

// leapYear begins a year that has every day there is. The library looks five years
// ahead, so a schedule that has no time after this has none at all.
var leapYear = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

func neverComes(text string) string {
	parts := strings.Fields(text)
	return fmt.Sprintf("it never comes: no month of the 4th field (%s) has a day of the 3rd field (%s)", parts[3], parts[2])
}

// String is the schedule with a number for each H: five fields, or a macro.
func (s *Schedule) String() string { return s.text }

// Next is the first time after the given one that the schedule is due, in the same
// location as the given one. It is zero if there is none within five years, as for 29
// February from 2096 on. The given one must be later than 2011: over the days that
// Samoa and others once left out of the calendar, the library may never come back.
func (s *Schedule) Next(after time.Time) time.Time {
	return s.spec.Next(after.Round(0)) // without its monotonic reading
}

// maxSteps bounds how far Upcoming counts: sixteen hours of a schedule of every minute.
const maxSteps = 1000

// Upcoming is the first time later than now at which a CronJob comes that counts from
// since: the time for which it fired last, or that of its creation. It is zero if
// there is none.
//
// Mostly that is Next(now). But near some changes of daylight saving time (those by
// half an hour, those at midnight) the library gives other times when it starts
// elsewhere, and Kubernetes starts from its last time, not from now.
func (s *Schedule) Upcoming(since, now time.Time) time.Time {
	t := s.Next(since)
	for range maxSteps {
		if t.IsZero() || t.After(now) {
			return t
		}
		t = s.Next(t)
	}
	return s.Next(now)
}

// Between are the times that the schedule is due, later than after and earlier than
// before: the oldest first, and at most limit of them.
func (s *Schedule) Between(after, before time.Time, limit int) []time.Time {
	var times []time.Time
	for t := s.Next(after); len(times) < limit && !t.IsZero() && t.Before(before); t = s.Next(t) {
		times = append(times, t)
	}
	return times
}
