// Package calendar holds no code but its tests. They run Kubernetes' own CronJob
// controller through changes of daylight saving time, leap years, month ends and
// changes of a live object, compare what it does with what the product says that is
// due, and keep the tables of docs/schedules.md true.
package calendar
