package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// FuzzParse checks that no input makes Parse panic or hang, and that Kubernetes' library
// accepts what it accepts, with the same times.
func FuzzParse(f *testing.F) {
	for _, expression := range []string{
		"30 2 * * *", "H H(1-5) H/7 * mon-fri", "H(0-29)/10,45 0 29 2 ?", "@daily", "@every 1s", "TZ=UTC * * * * *", "CRON_TZ=",
		"*/0 5-1 , H( H()", "0 0 31 2 *", "99999999999999999999 */99999999999999999999 * * *", "\x00", "1–5 \xff",
	} {
		f.Add(expression, "Europe/Berlin", seed)
	}
	f.Add("@hourly", "Local", "")
	f.Add("@hourly", "../../etc/passwd", "\x00")
	f.Fuzz(func(t *testing.T, expression, timeZone, seed string) {
		s, err := Parse(expression, timeZone, seed)
		if err != nil {
			if !errors.As(err, new(*ScheduleError)) && !errors.As(err, new(*TimeZoneError)) {
				t.Fatalf("an error of another kind: %v", err)
			}
			if message := err.Error(); len(message) > 1200 || strings.ContainsAny(message, "\x00\n\r") {
				t.Fatalf("not a message for people: %q", message)
			}
			return
		}
		agrees(t, s, timeZone, time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC))
		again := mustParse(t, s.String(), timeZone, "another")
		if again.String() != s.String() {
			t.Errorf("%q becomes %q when it is read again", s, again)
		}
	})
}

// agrees compares a schedule with what Kubernetes' library parses from its text.
func agrees(t *testing.T, s *Schedule, timeZone string, after time.Time) {
	t.Helper()
	reference, err := cron.ParseStandard("TZ=" + timeZone + " " + s.String())
	if err != nil {
		t.Fatalf("%q in %s: %v", s, timeZone, err)
	}
	for range 4 {
		want := reference.Next(after)
		if got := s.Next(after); !got.Equal(want) || !got.After(after) {
			t.Fatalf("%q in %s after %v: got %v, want %v", s, timeZone, after, got, want)
		}
		after = want
	}
}
