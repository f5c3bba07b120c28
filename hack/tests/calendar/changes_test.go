package calendar

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// change is a case with changes of a live object. All times are UTC, in June 2026.
type change struct {
	what, schedule string
	steps          []step
	// until is when the case ends.
	until time.Time
	// records is the reason of an event that the controller must record.
	records string
}

// step is a change of the object, and its time.
type step struct {
	at   time.Time
	does string
	do   func(*live)
}

func june(day, hour, minute int) time.Time {
	return time.Date(2026, time.June, day, hour, minute, 0, 0, time.UTC)
}

const (
	utc     = "Etc/UTC"
	berlin  = "Europe/Berlin"
	newYork = "America/New_York"
)

var changes = []change{
	{"The time zone is changed, and in the new one the time has just passed", "0 9 * * *", []step{
		{june(2, 8, 30), "`timeZone: " + berlin + "` (09:00 there was at 07:00)", toZone(berlin)},
	}, june(4, 0, 0), ""},
	{"The same, and a run's Job changes meanwhile", "0 9 * * *", []step{
		{june(2, 8, 30), "`timeZone: " + berlin + "`", toZone(berlin)},
		{june(2, 8, 31), "a Job of an earlier run changes", touch},
	}, june(4, 0, 0), ""},
	{"The time zone is changed, and in the new one the time is still to come", "0 9 * * *", []step{
		{june(2, 8, 30), "`timeZone: " + newYork + "` (09:00 there is at 13:00)", toZone(newYork)},
	}, june(3, 12, 0), ""},
	{"The time zone is changed after the day's run", "0 9 * * *", []step{
		{june(2, 10, 0), "`timeZone: " + newYork + "`: 09:00 comes again", toZone(newYork)},
	}, june(3, 12, 0), ""},
	{"The schedule is changed to a time that has just passed", "0 9 * * *", []step{
		{june(2, 8, 30), "`schedule: 0 8 * * *`", toSchedule("0 8 * * *")},
	}, june(3, 12, 0), ""},
	{"The time zone is changed while suspended", "0 9 * * *", []step{
		{june(2, 6, 0), "`suspend: true`", suspend},
		{june(2, 8, 30), "`timeZone: " + berlin + "`", toZone(berlin)},
		{june(2, 10, 0), "`suspend: false`", resume},
	}, june(3, 12, 0), ""},
	{"Suspended and resumed", "0 * * * *", []step{
		{june(1, 1, 30), "`suspend: true`", suspend},
		{june(1, 6, 30), "`suspend: false`", resume},
	}, june(1, 8, 0), ""},
	{"The same with `startingDeadline: 10m`", "0 * * * *", []step{
		{june(1, 1, 30), "`startingDeadline: 10m`, `suspend: true`", both(deadline(10*time.Minute), suspend)},
		{june(1, 6, 30), "`suspend: false`", resume},
	}, june(1, 8, 0), ""},
	{"The same with `startingDeadline: 1h`", "0 * * * *", []step{
		{june(1, 1, 30), "`startingDeadline: 1h`, `suspend: true`", both(deadline(time.Hour), suspend)},
		{june(1, 6, 30), "`suspend: false`", resume},
	}, june(1, 8, 0), ""},
	{"Suspended from the beginning, then resumed", "0 9 * * *", []step{
		{june(1, 0, 1), "`suspend: true`", suspend},
		{june(1, 10, 30), "`suspend: false`", resume},
	}, june(2, 12, 0), ""},
	{"Suspended and resumed; the times are not evenly spaced", "0 9,10 * * *", []step{
		{june(1, 10, 30), "`suspend: true`", suspend},
		{june(2, 15, 30), "`suspend: false`", resume},
	}, june(3, 9, 30), ""},
	{"More than 100 times pass while suspended", "*/5 * * * *", []step{
		{june(1, 0, 7), "`suspend: true`", suspend},
		{june(2, 15, 32), "`suspend: false`", resume},
	}, june(2, 15, 37), "TooManyMissedTimes"},
	{"Kubernetes' control plane is down", "0 * * * *", []step{
		{june(1, 1, 30), "it goes down", goDown},
		{june(1, 6, 30), "it is back", comeBack},
	}, june(1, 8, 0), ""},
}

func toZone(zone string) func(*live) {
	return func(l *live) { l.edit(l.schedule, zone) }
}

func toSchedule(schedule string) func(*live) {
	return func(l *live) { l.edit(schedule, l.zone) }
}

// edit does what the operator does when spec.schedule or spec.timeZone changes.
func (l *live) edit(schedule, zone string) {
	l.schedule, l.zone, l.since = schedule, zone, time.Now()
	l.change(func(spec *batchv1.CronJobSpec) { spec.Schedule, spec.TimeZone = schedule, &zone })
}

func suspend(l *live) {
	l.suspended = true
	l.change(func(spec *batchv1.CronJobSpec) { spec.Suspend = new(true) })
}

func resume(l *live) {
	l.suspended, l.resumed = false, time.Now()
	l.change(func(spec *batchv1.CronJobSpec) { spec.Suspend = new(false) })
}

func deadline(limit time.Duration) func(*live) {
	return func(l *live) {
		l.deadline = limit
		l.change(func(spec *batchv1.CronJobSpec) { spec.StartingDeadlineSeconds = new(int64(limit.Seconds())) })
	}
}

func both(first, second func(*live)) func(*live) {
	return func(l *live) {
		first(l)
		second(l)
	}
}

func touch(l *live) { l.touch() }

func goDown(l *live) {
	l.stop()
	l.down = true
}

func comeBack(l *live) {
	l.down, l.resumed = false, time.Now()
	l.startController()
}

// run returns what happens to the object, with a line for each step and each Job.
func (c *change) run(t *testing.T) []line {
	var lines []line
	inCluster(t, june(1, 0, 0), func(cluster *cluster) {
		l := &live{cluster: cluster, schedule: c.schedule, zone: utc}
		l.create(c.schedule, utc)
		l.counted = time.Now()
		l.update()
		for _, s := range c.steps {
			l.until(s.at)
			l.catchUp()
			s.do(l)
			l.update()
			l.add(s.at, s.does)
		}
		l.until(c.until)
		l.catchUp()
		if c.records != "" && l.recorded(c.records) != 1 {
			t.Errorf("the event %s is recorded %d times: %q", c.records, l.recorded(c.records), l.events)
		}
		lines = l.lines
	})
	return lines
}
