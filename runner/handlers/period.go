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
//	previous-year: the last that was over at the time now
//	2026, 2026-10, 2026-10-05: a year, a month, a day
//	2026-10-01/2026-11-01: from the first to before the second, dates or RFC 3339
//	times
func parsePeriod(text string, now time.Time, zone *time.Location) (period, error) {
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
		if start, err := time.ParseInLocation(form.layout, text, zone); err == nil {
			return period{start, start.AddDate(form.years, form.months, form.days)}, nil
		}
	}
	return period{}, fmt.Errorf("%q is no period: write previous-month (or -hour, -day, -week, -year), 2026, 2026-10, 2026-10-05 or 2026-10-01/2026-11-01", text)
}

func previous(unit string, now time.Time) (period, error) {
	year, month, day := now.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, now.Location())
	switch unit {
	case "hour":
		end := now.Truncate(time.Minute).Add(-time.Duration(now.Minute()) * time.Minute)
		return period{end.Add(-time.Hour), end}, nil
	case "day":
		return period{midnight.AddDate(0, 0, -1), midnight}, nil
	case "week":
		sinceMonday := (int(now.Weekday()) + 6) % 7
		end := midnight.AddDate(0, 0, -sinceMonday)
		return period{end.AddDate(0, 0, -7), end}, nil
	case "month":
		end := time.Date(year, month, 1, 0, 0, 0, 0, now.Location())
		return period{end.AddDate(0, -1, 0), end}, nil
	case "year":
		end := time.Date(year, 1, 1, 0, 0, 0, 0, now.Location())
		return period{end.AddDate(-1, 0, 0), end}, nil
	default:
		return period{}, fmt.Errorf("%q is no period: previous- takes hour, day, week, month or year", "previous-"+unit)
	}
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
	if !to.After(from) {
		return period{}, fmt.Errorf("the period %s/%s ends before it begins", start, end)
	}
	return period{from, to}, nil
}

func parseTime(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return at, fmt.Errorf("%q is neither a date such as 2026-10-01 nor an RFC 3339 time", text)
	}
	return at, nil
}
