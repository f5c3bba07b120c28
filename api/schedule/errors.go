package schedule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ScheduleError says why an expression is not a schedule. Its text is for the person who wrote
// the expression.
type ScheduleError struct {
	// Expression is the one that was parsed.
	Expression string
	// Field is the one that is wrong, 1 to 5, or 0 if the expression as a whole is.
	Field int
	// Problem says what is wrong.
	Problem string
}

// Error quotes the expression, names the field, and says what is wrong and what is allowed,
// with an example.
func (e *ScheduleError) Error() string {
	if e.Field == 0 {
		return fmt.Sprintf(`schedule %s: %s; for example, "30 2 * * *" is 02:30 every day`, quote(e.Expression), e.Problem)
	}
	f := fields[e.Field-1]
	return fmt.Sprintf(`schedule %s: the %s field (%s): %s; allowed are %s, lists, ranges and steps of them (1,5 1-5 */5 1-5/2), * and H; for example, %s`,
		quote(e.Expression), f.ordinal, f.name, e.Problem, f.allowed, f.example)
}

// TimeZoneError says why a name is not a time zone. Its text is for the person who wrote the
// name.
type TimeZoneError struct {
	// TimeZone is the one that was parsed.
	TimeZone string
	// Problem says what is wrong.
	Problem string
}

// Error quotes the name and says what is wrong, with an example.
func (e *TimeZoneError) Error() string {
	return fmt.Sprintf(`time zone %s: %s; a time zone is a name from the IANA time zone database, spelled exactly, for example Europe/Berlin or Etc/UTC`,
		quote(e.TimeZone), e.Problem)
}

// quoted is how much of a text a message repeats, in bytes.
const quoted = 80

// quote makes any text fit for a message: one line, printable and not too long.
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
