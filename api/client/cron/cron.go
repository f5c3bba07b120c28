// Package cron makes schedules, with the names of Hangfire's Cron class. Times are in the
// recurring job's time zone, Etc/UTC unless set. A value outside its range makes a schedule
// that the API server or the operator rejects, with a message that names the field.
package cron

import (
	"fmt"
	"time"
)

// Minutely returns a schedule of every minute.
func Minutely() string { return "* * * * *" }

// Hourly returns a schedule of once an hour, at minute 0 or the one given (0 to 59).
func Hourly(minute ...int) string { return fmt.Sprintf("%d * * * *", at(minute, 0, 0)) }

// Daily returns a schedule of once a day, at 00:00 or the hour (0 to 23) and minute (0 to
// 59) given.
func Daily(hourMinute ...int) string {
	return fmt.Sprintf("%d %d * * *", at(hourMinute, 1, 0), at(hourMinute, 0, 0))
}

// Weekly returns a schedule of once a week, at 00:00 or the hour and minute given.
func Weekly(day time.Weekday, hourMinute ...int) string {
	return fmt.Sprintf("%d %d * * %d", at(hourMinute, 1, 0), at(hourMinute, 0, 0), day)
}

// Monthly returns a schedule of once a month: on day 1 at 00:00, or the day (1 to 31; months
// without it are left out), hour and minute given.
func Monthly(dayHourMinute ...int) string {
	return fmt.Sprintf("%d %d %d * *", at(dayHourMinute, 2, 0), at(dayHourMinute, 1, 0), at(dayHourMinute, 0, 1))
}

// Yearly returns a schedule of once a year: in this month on day 1 at 00:00, or the day, hour
// and minute given.
func Yearly(month time.Month, dayHourMinute ...int) string {
	return fmt.Sprintf("%d %d %d %d *", at(dayHourMinute, 2, 0), at(dayHourMinute, 1, 0), at(dayHourMinute, 0, 1), month)
}

func at(values []int, index, otherwise int) int {
	if index < len(values) {
		return values[index]
	}
	return otherwise
}
