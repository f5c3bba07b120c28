package calendar

import (
	"fmt"
	"time"

	"github.com/openradius/workspace-jobs/api/schedule"
)

// live is an object that is changed, and what is expected of it.
type live struct {
	*cluster
	schedule, zone  string
	deadline        time.Duration
	suspended, down bool
	// since is when the schedule or the time zone last changed, resumed when the object or the
	// control plane last resumed.
	since, resumed time.Time
	// counted is what the CronJob counts from: the time of its last Job, or of its own creation.
	counted time.Time
	// next is nextScheduledAt; zero while suspended.
	next  time.Time
	seen  int
	lines []line
}

// line is what happens at a time, and nextScheduledAt at that time.
type line struct {
	at   time.Time
	does string
	next time.Time
}

// update sets nextScheduledAt to what the operator would set it to now.
func (l *live) update() {
	l.next = time.Time{}
	if !l.suspended {
		l.next = l.read().Upcoming(l.counted, time.Now()).UTC()
	}
}

func (l *live) read() *schedule.Schedule {
	l.t.Helper()
	s, err := schedule.Parse(l.schedule, l.zone, namespace+"/"+name)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *live) add(at time.Time, does string) {
	l.lines = append(l.lines, line{at: at, does: does, next: l.next})
}

// catchUp judges the Jobs that the CronJob has created since the last call.
func (l *live) catchUp() {
	l.t.Helper()
	for ; l.seen < len(l.ticks); l.seen++ {
		tick := l.ticks[l.seen]
		finding := l.judge(tick)
		l.counted = tick.due
		l.next = l.read().Upcoming(l.counted, tick.made).UTC()
		l.add(tick.made, fmt.Sprintf("**a Job for %s**%s", clock(tick.due), finding))
	}
	if !l.suspended && !l.down && time.Since(l.next) > time.Second {
		l.t.Errorf("nextScheduledAt was %v, but no Job was created", l.next)
	}
}

// judge reports whether a Job is on time, as nextScheduledAt said, or not due, or late. A late one must
// be for the latest missed time, and within the deadline.
func (l *live) judge(tick tick) string {
	l.t.Helper()
	late := tick.made.Sub(tick.due)
	if tick.due.Before(l.since) {
		return ", which was before the change: the operator deletes it"
	}
	if late < time.Second {
		if !tick.due.Equal(l.next) {
			l.t.Errorf("a Job for %v, but nextScheduledAt was %v", tick.due, l.next)
		}
		return ""
	}
	if tick.made.Sub(l.resumed) > time.Second {
		l.t.Errorf("a Job for %v was created at %v, but nothing had just resumed", tick.due, tick.made)
	}
	if newer := l.read().Next(tick.due); !newer.After(tick.made) {
		l.t.Errorf("a Job for %v, but %v was missed as well", tick.due, newer)
	}
	if l.deadline > 0 && late > l.deadline {
		l.t.Errorf("a Job for %v was created at %v, after the deadline", tick.due, tick.made)
	}
	return fmt.Sprintf(", %s late: the newest one missed", shortly(late.Round(time.Minute)))
}
