// Package schedule parses the schedules of recurring jobs and computes when they are due.
//
// It accepts what Kubernetes' CronJob controller accepts, and parses it with the same library,
// so that both compute the same times. In addition, H stands for a number that the recurring
// job's name fixes. A few mistakes that Kubernetes accepts silently are refused: an empty item
// in a list, and a step longer than its field.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a recurring job is due. It is immutable and safe for concurrent use.
type Schedule struct {
	text string
	spec cron.Schedule
}

// Parse parses the schedule and the time zone of a WorkspaceRecurringJob's spec. The seed
// fixes H; it is "<namespace>/<name>". An error is a [*ScheduleError] or a [*TimeZoneError].
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
		return nil, &ScheduleError{Expression: expression, Problem: neverDue(text)}
	}
	return &Schedule{text: text, spec: spec}, nil
}

// leapYear is the start of a year that contains every possible date. The library searches
// five years ahead, so a schedule that is not due within those is never due.
var leapYear = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

func neverDue(text string) string {
	parts := strings.Fields(text)
	return fmt.Sprintf("it is never due: no month of the 4th field (%s) has a day of the 3rd field (%s)", parts[3], parts[2])
}

// String returns the schedule with a number for each H: five fields, or a macro.
func (s *Schedule) String() string { return s.text }

// Next returns the first time later than after at which the schedule is due, in the location
// of after. It returns zero if there is none within five years, as for 29 February from 2096
// on. The time after must be later than 2011: on the days that Samoa and others once left out
// of the calendar, the library may loop forever.
func (s *Schedule) Next(after time.Time) time.Time {
	return s.spec.Next(after.Round(0)) // drops the monotonic clock reading
}

// maxSteps bounds the steps of Upcoming: sixteen hours of a schedule that is due every minute.
const maxSteps = 1000

// Upcoming returns the first time later than now at which a CronJob is due if it counts from
// since: the time for which it last created a Job, or that of its own creation. It returns zero
// if there is none.
//
// Usually that is Next(now). But near some changes of daylight saving time (those by half an
// hour, and those at midnight) the library's times depend on where it starts, and Kubernetes
// starts from the CronJob's last time, not from now.
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

// Between returns the times at which the schedule is due, later than after and earlier than
// before: the first limit of them, in order.
func (s *Schedule) Between(after, before time.Time, limit int) []time.Time {
	var times []time.Time
	for t := s.Next(after); len(times) < limit && !t.IsZero() && t.Before(before); t = s.Next(t) {
		times = append(times, t)
	}
	return times
}
