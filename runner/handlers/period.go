package handlers

import (
	"fmt"
	"strings"
	"time"
)

// period is a half-open span of time: start belongs to it, end does not.
type period struct{ start, end time.Time }

// parsePeriod reads a report's period in a time zone. It is one of
//
//	previous-hour, previous-day, previous-week (from Monday), previous-month,
//	previous-year: the last one that was over at the time now
//	2026, 2026-10, 2026-10-05: a year, a month, a day
//	2026-10-01/2026-11-01: from the first to before the second, dates or RFC 3339
//	times
func parsePeriod(text string, now time.Time, zone *time.Location) (period, error) {
	span, err := readPeriod(text, now, zone)
	switch {
	case err != nil:
		return period{}, err
	case !span.end.After(span.start):
		return period{}, fmt.Errorf("the period %q ends before it begins", text)
	case span.start.UTC().Year() < 1 || span.end.UTC().Year() > 9999:
		return period{}, fmt.Errorf("%q is not a valid period: it must be between the years 1 and 9999", text)
	}
	return span, nil
}

func readPeriod(text string, now time.Time, zone *time.Location) (period, error) {
	if unit, ok := strings.CutPrefix(text, "previous-"); ok {
		return previous(unit, now.In(zone))
	}
	if start, end, ok := strings.Cut(text, "/"); ok {
		return between(start, end, zone)
	}
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{
		{"2006", 1, 0, 0},
		{"2006-01", 0, 1, 0},
		{time.DateOnly, 0, 0, 1},
	} {
		if start, err := time.Parse(form.layout, text); err == nil {
			return days(start, start.AddDate(form.years, form.months, form.days), zone), nil
		}
	}
	return period{}, fmt.Errorf("%q is not a period: write previous-month (or -hour, -day, -week, -year), 2026, 2026-10, 2026-10-05 or 2026-10-01/2026-11-01", text)
}

func previous(unit string, now time.Time) (period, error) {
	if unit == "hour" {
		end := now.Truncate(time.Minute).Add(-time.Duration(now.Minute()) * time.Minute)
		return period{end.Add(-time.Hour), end}, nil
	}
	year, month, day := now.Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	var start, end time.Time
	switch unit {
	case "day":
		start, end = today.AddDate(0, 0, -1), today
	case "week":
		sinceMonday := (int(today.Weekday()) + 6) % 7
		end = today.AddDate(0, 0, -sinceMonday)
		start = end.AddDate(0, 0, -7)
	case "month":
		end = today.AddDate(0, 0, 1-day)
		start = end.AddDate(0, -1, 0)
	case "year":
		end = time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
		start = end.AddDate(-1, 0, 0)
	default:
		return period{}, fmt.Errorf("%q is not a period: after previous- comes hour, day, week, month or year", "previous-"+unit)
	}
	return days(start, end, now.Location()), nil
}

// days returns the time in a zone between two dates, which are given in UTC.
func days(start, end time.Time, zone *time.Location) period {
	return period{firstMoment(start, zone), firstMoment(end, zone)}
}

// firstMoment returns the first moment of a date in a time zone. Where clocks are put
// forward at midnight it is later than midnight. Where they are put back it is the first
// of two midnights.
func firstMoment(date time.Time, zone *time.Location) time.Time {
	year, month, day := date.Date()
	at := time.Date(year, month, day, 0, 0, 0, 0, zone)
	begin, end := at.ZoneBounds()
	if at.Day() != day {
		return end // at is before the clocks were put forward
	}
	if at.Add(-1).Day() != day {
		return at
	}
	_, offset := at.Zone()
	_, before := begin.Add(-1).Zone()
	if first := at.Add(time.Duration(offset-before) * time.Second); first.Before(begin) {
		return first
	}
	return begin
}

func between(start, end string, zone *time.Location) (period, error) {
	from, err := parseTime(start, zone)
	if err != nil {
		return period{}, err
	}
	to, err := parseTime(end, zone)
	if err != nil {
		return period{}, err
	}
	return period{from, to}, nil
}

func parseTime(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return date, fmt.Errorf("%q is neither a date such as 2026-10-01 nor a time as in RFC 3339", text)
	}
	return firstMoment(date, zone), nil
}
