package schedule

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const seed = "workspace-acme/nightly"

func mustParse(t *testing.T, expression, timeZone, seed string) *Schedule {
	t.Helper()
	s, err := Parse(expression, timeZone, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestParse covers what stays as it is, and what H becomes.
func TestParse(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"30 2 * * *":                 "30 2 * * *",
		"  */15\t8-17 ? * mon-FRI\n": "*/15 8-17 ? * mon-FRI",
		"0,30 0-12/3 1,15 Jan 5/1":   "0,30 0-12/3 1,15 Jan 5/1",
		"05 */24 */31 */12 */7":      "05 */24 */31 */12 */7",
		"0 0 29 2 *":                 "0 0 29 2 *",
		"0 0 31 2 mon":               "0 0 31 2 mon", // either of the day fields is enough
		"@hourly":                    "@hourly",
		"@daily":                     "@daily",
		"@midnight":                  "@midnight",
		"@weekly":                    "@weekly",
		"@monthly":                   "@monthly",
		"@yearly":                    "@yearly",
		" @annually ":                "@annually",

		"H H H H H":              "55 22 9 12 5",
		"H/15 * * * *":           "10-59/15 * * * *",
		"H(0-29) H(1-5) * * *":   "25 5 * * *",
		"H(0-29)/10 * * * *":     "5-29/10 * * * *",
		"H,30 0,H(10-20) * * *":  "55,30 0,14 * * *",
		"H(7-7)/1 H/24 H/28 * *": "7-7/1 22-23/24 9-28/28 * *",
		"0 0 * * H(mon-fri)":     "0 0 * * 5",
		"0 0 H/2 * *":            "0 0 1-28/2 * *",
	}
	for expression, want := range cases {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			if got := mustParse(t, expression, "Etc/UTC", seed).String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		field int
		says  string
	}{
		"":                           {0, "it is empty"},
		" \t ":                       {0, "it is empty"},
		"* * * *":                    {0, "it has 4 fields, but five are required"},
		"daily":                      {0, "it has one field"},
		"0 30 2 * * *":               {0, "it has 6 fields, but five are required: minute, hour, day of month, month, day of week (there is no field for seconds or years)"},
		"@every 1h":                  {0, "@every is not supported"},
		"@EVERY":                     {0, "@every is not supported"},
		"@reboot":                    {0, "@reboot is not supported"},
		"@Daily":                     {0, `"@Daily" is spelled @daily`},
		"@daily *":                   {0, "@daily must stand alone"},
		"@fortnightly":               {0, `"@fortnightly" is not one of the macros @hourly`},
		"TZ=Europe/Berlin 0 0 * * *": {0, "set spec.timeZone"},
		"TZ=Europe/Berlin":           {0, "set spec.timeZone"},
		"CRON_TZ=UTC 0 0 * * *":      {0, "set spec.timeZone"},
		"0 0 31 2 *":                 {0, "it is never due: no month of the 4th field (2) has a day of the 3rd field (31)"},
		"0 0 30,31 feb ?":            {0, "it is never due"},
		"0 0 31 4,6,9,11 *":          {0, "it is never due"},

		"60 * * * *":                     {1, `the 1st field (minute): "60" is above 59; allowed are 0 to 59`},
		"* 24 * * *":                     {2, `the 2nd field (hour): "24" is above 23`},
		"* * 0 * *":                      {3, `the 3rd field (day of month): "0" is below 1`},
		"* * 32 * *":                     {3, `"32" is above 31`},
		"* * * 13 *":                     {4, `the 4th field (month): "13" is above 12`},
		"* * * mon *":                    {4, `"mon" is not a valid value; allowed are 1 to 12 and jan to dec`},
		"* * * * 7":                      {5, `the 5th field (day of week): "7" is above 6; allowed are 0 (Sunday) to 6`},
		"* * * * jan":                    {5, `"jan" is not a valid value`},
		"* * L * *":                      {3, `"L" is not a valid value`},
		"h * * * *":                      {1, `"h" is not a valid value`},
		"-5 * * * *":                     {1, `"-5" is not a valid value`},
		"+5 * * * *":                     {1, `"+5" is not a valid value`},
		"*-5 * * * *":                    {1, `"*-5" is not a valid value`},
		"1-2-3 * * * *":                  {1, `"1-2-3" is not a valid value`},
		"5-1 * * * *":                    {1, `the range "5-1" runs backwards (to wrap around, write 5-59,0-1)`},
		"* * * * fri-mon":                {5, "write 5-6,0-1"},
		"1, * * * *":                     {1, "the list has an empty item"},
		", * * * *":                      {1, "the list has an empty item"},
		"*/0 * * * *":                    {1, "a step must be at least 1"},
		"*/90 * * * *":                   {1, `the step "90" is longer than the field's 60 values`},
		"*/ * * * *":                     {1, `the step "" is not a number`},
		"*/2/3 * * * *":                  {1, `the step "2/3" is not a number`},
		"*/-1 * * * *":                   {1, `the step "-1" is not a number`},
		"/5 * * * *":                     {1, `"" is not a valid value`},
		"99999999999999999999 * * * *":   {1, "is above 59"},
		"*/99999999999999999999 * * * *": {1, "is longer than"},
		"1-99999999999999999999 * * * *": {1, "is above 59"},

		"H- * * * *":         {1, `"H-" is not a valid value`},
		"H-5 * * * *":        {1, `"H-5" is not a valid value`},
		"H() * * * *":        {1, `"" is not a valid value`},
		"H( * * * *":         {1, `"H(" is not a valid value`},
		"H(0-60) * * * *":    {1, `"60" is above 59`},
		"H(9-1) * * * *":     {1, `the range "9-1" runs backwards`},
		"H(H) * * * *":       {1, `"H" is not a valid value`},
		"H(0-29)/31 * * * *": {1, `the step of "H(0-29)/31" is longer than its 30 values`},
		"H/0 * * * *":        {1, "a step must be at least 1"},
		"0 0 H/29 * *":       {3, `the step of "H/29" is longer than its 28 values`},
		"0 0 H(30-31) 2 *":   {0, "it is never due"},

		"0 0 * * \x00":            {0, `the character '\x00' (U+0000), after 8 bytes`},
		"0 0 * * 1–5":             {0, `the character '–' (U+2013), after 9 bytes`},
		"0 0 * * \u202e5":         {0, `(U+202E)`},
		"\xff 0 * * *":            {0, `(U+FFFD), after 0 bytes`},
		strings.Repeat("1,", 500): {0, "it has 1000 bytes; at most 200 are allowed"},
		strings.Repeat("é", 200):  {0, "it has 400 bytes"},
	}
	for expression, c := range cases {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(expression, "Etc/UTC", seed)
			refused := &ScheduleError{}
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a ScheduleError", err)
			}
			if refused.Field != c.field || refused.Expression != expression {
				t.Errorf("it blames field %d of %q, want %d", refused.Field, refused.Expression, c.field)
			}
			if message := err.Error(); !strings.Contains(message, c.says) || !fitForPeople(message) {
				t.Errorf("got: %s\nwant in it: %s", message, c.says)
			}
		})
	}
}

var unprintable = regexp.MustCompile(`[^ -~\p{L}\p{Pd}\x{FFFD}]`)

// fitForPeople checks that a message is one line that can be shown anywhere, with an example.
func fitForPeople(message string) bool {
	return len(message) < 600 && !unprintable.MatchString(message) && strings.Contains(message, "for example")
}

// TestExamples checks that what the messages suggest is accepted.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, f := range fields {
		mustParse(t, strings.Split(f.example, `"`)[1], "Etc/UTC", seed)
	}
	if n := len(strings.Split((&ScheduleError{Field: 1}).Error(), "for example")); n != 2 {
		t.Errorf("a message has %d examples", n-1)
	}
}

func TestTimeZones(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "America/Port-au-Prince"} {
		if _, err := Parse("@daily", good, seed); err != nil {
			t.Error(err)
		}
	}
	for bad, says := range map[string]string{
		"":                        "it is empty",
		"Local":                   "it means another time zone on each machine",
		"local":                   "it means another time zone on each machine",
		"europe/berlin":           "it is unknown",
		"Europe/Atlantis":         "it is unknown",
		"CEST+2":                  "it is unknown",
		"/Europe/Berlin":          "it is unknown",
		"Europe//Berlin":          "it is unknown",
		"Europe/Berlin/":          "it is unknown",
		"right/Europe/Berlin":     "it does not exist on every machine",
		"posix/Europe/Berlin":     "it does not exist on every machine",
		"localtime":               "it does not exist on every machine",
		"../Berlin":               "it is unknown",
		"./UTC":                   "it is unknown",
		"-UTC":                    "it is unknown",
		"Europe/Berlin ":          "it is unknown",
		"UTC\x00":                 "it is unknown",
		"Europe/Bérlin":           "it is unknown",
		strings.Repeat("a/", 100): "it is too long",
	} {
		_, err := Parse("@daily", bad, seed)
		refused := &TimeZoneError{}
		if !errors.As(err, &refused) || refused.TimeZone != bad {
			t.Errorf("%q: got %v, want a TimeZoneError", bad, err)
			continue
		}
		if message := err.Error(); !strings.Contains(message, says) || !fitForPeople(message) {
			t.Errorf("%q: got: %s\nwant in it: %s", bad, message, says)
		}
	}
}

func TestNextAndBetween(t *testing.T) {
	t.Parallel()
	s := mustParse(t, "30 2 * * *", "Europe/Berlin", seed)
	at := func(text string) time.Time {
		t.Helper()
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.UTC()
	}
	first, second, third := at("2026-06-01T00:30:00Z"), at("2026-06-02T00:30:00Z"), at("2026-06-03T00:30:00Z")

	if got := s.Next(first.Add(-time.Nanosecond)); !got.Equal(first) || got.Location() != time.UTC {
		t.Errorf("Next: got %v, want %v", got, first)
	}
	if got := s.Next(first); !got.Equal(second) {
		t.Errorf("Next is later than what it is given: got %v", got)
	}
	for name, c := range map[string]struct {
		after, before time.Time
		limit         int
		want          []time.Time
	}{
		"both ends are out": {first, third, 9, []time.Time{second}},
		"just past them":    {first.Add(-time.Second), third.Add(time.Second), 9, []time.Time{first, second, third}},
		"limited":           {first.Add(-time.Second), third.AddDate(10, 0, 0), 2, []time.Time{first, second}},
		"limited to none":   {first, third, 0, nil},
		"backwards":         {third, first, 9, nil},
		"nothing in it":     {first, second, 9, nil},
	} {
		if diff := cmp.Diff(c.want, s.Between(c.after, c.before, c.limit)); diff != "" {
			t.Errorf("Between, %s (-want +got):\n%s", name, diff)
		}
	}
	leap := mustParse(t, "0 0 29 2 *", "Etc/UTC", seed)
	if got := leap.Next(at("2096-03-01T00:00:00Z")); !got.IsZero() {
		t.Errorf("there is no 29 February in 2100, and 2104 is too far: got %v", got)
	}
	if got := leap.Between(at("2092-01-01T00:00:00Z"), at("2300-01-01T00:00:00Z"), 9); len(got) != 2 {
		t.Errorf("Between ends where Next does: got %v", got)
	}
}

func TestUpcoming(t *testing.T) {
	t.Parallel()
	day := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
	}
	cases := map[string]struct {
		schedule, zone   string
		since, now, want time.Time
	}{
		"before the first one": {"0 5 * * *", "Etc/UTC", day(1, 1, 6), day(1, 1, 7), day(1, 2, 5)},
		"at one, the next":     {"0 5 * * *", "Etc/UTC", day(1, 1, 5), day(1, 2, 5), day(1, 3, 5)},
		"after some":           {"0 5 * * *", "Etc/UTC", day(1, 1, 6), day(1, 20, 6), day(1, 21, 5)},
		"after very many":      {"* * * * *", "Etc/UTC", day(1, 1, 6), day(12, 1, 6), day(12, 1, 6).Add(time.Minute)},
		"since is yet to come": {"0 5 * * *", "Etc/UTC", day(1, 9, 6), day(1, 1, 6), day(1, 10, 5)},
		// At 02:00 on 4 October, Lord Howe's clocks move to 02:30.
		"counted over half an hour": {"0 5 * * *", "Australia/Lord_Howe", day(10, 2, 18).Add(30 * time.Minute), day(10, 3, 16), day(10, 4, 18)},
		"counted from after it":     {"0 5 * * *", "Australia/Lord_Howe", day(10, 3, 16), day(10, 3, 16), day(10, 3, 18)},
	}
	for name, c := range cases {
		if got := mustParse(t, c.schedule, c.zone, seed).Upcoming(c.since, c.now); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	leap := mustParse(t, "0 0 29 2 *", "Etc/UTC", seed)
	if got := leap.Upcoming(day(1, 1, 0).AddDate(60, 0, 0), day(1, 1, 0).AddDate(72, 0, 0)); !got.IsZero() {
		t.Errorf("29 February 2104 is too far from 2096: got %v", got)
	}
}
