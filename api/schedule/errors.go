package schedule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ScheduleError says why an expression is no schedule. Its text is for the person who
// wrote the expression.
type ScheduleError struct {
	// Expression as it was given.
	Expression string
	// Field that is wrong, 1 to 5; 0 if it is the expression as a whole.
	Field int
	// Problem in words.
	Problem string
}

// Error quotes the expression, names the field, and says what is wrong, what is
// allowed and what a right one looks like.
func (e *ScheduleError) Error() string {
	if e.Field == 0 {
		return fmt.Sprintf(`schedule %s: %s; for example, "30 2 * * *" is 02:30 every day`, quote(e.Expression), e.Problem)
	}
	f := fields[e.Field-1]
	return fmt.Sprintf(`schedule %s: the %s field (%s): %s; allowed are %s, lists, ranges and steps of them (1,5 1-5 */5 1-5/2), * and H; for example, %s`,
		quote(e.Expression), f.ordinal, f.name, e.Problem, f.allowed, f.example)
}

// TimeZoneError says why a name is no time zone. Its text is for the person who wrote
// the name.
type TimeZoneError struct {
	// TimeZone as it was given.
	TimeZone string
	// Problem in words.
	Problem string
}

// Error quotes the name and says what is wrong and what a right one looks like.
func (e *TimeZoneError) Error() string {
	return fmt.Sprintf(`time zone %s: %s; a time zone is a name of the IANA time zone database in its exact spelling, for example Europe/Berlin or Etc/UTC`,
		quote(e.TimeZone), e.Problem)
}

// quoted is how much of a wrong text a message repeats, in bytes.
const quoted = 80

// quote makes any text fit for a message: one line, printable, not too long.
func quote(text string) string {
	if len(text) <= quoted {
		return fmt.Sprintf("%q", text)
	}
	cut := quoted
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%q", strings.ToValidUTF8(text[:cut], "?")+"...")
}
