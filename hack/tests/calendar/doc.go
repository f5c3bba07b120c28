// Package calendar holds tests only. They run Kubernetes' own CronJob controller through changes
// of daylight saving time, leap years, month ends and changes of a live object, compare what it
// does with what the product says is due, and keep the tables in docs/schedules.md correct.
package calendar
