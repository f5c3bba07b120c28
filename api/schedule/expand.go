package schedule

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxExpression is the length that spec.schedule may have.
const maxExpression = 200

var macros = []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}

// expand checks an expression and puts numbers for H.
func expand(expression, seed string) (string, error) {
	fault := func(format string, values ...any) (string, error) {
		return "", &ScheduleError{Expression: expression, Problem: fmt.Sprintf(format, values...)}
	}
	if len(expression) > maxExpression {
		return fault("it has %d bytes, and %d are allowed", len(expression), maxExpression)
	}
	for at, r := range expression {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return fault("the character %q (%U), after %d bytes, has no meaning in it", r, r, at)
		}
	}
	parts := strings.Fields(expression)
	if len(parts) == 0 {
		return fault("it is empty")
	}
	if strings.Contains(expression, "TZ=") {
		return fault("a time zone has no place in it: set spec.timeZone")
	}
	if strings.HasPrefix(parts[0], "@") {
		if problem := checkMacro(parts); problem != "" {
			return fault("%s", problem)
		}
		return parts[0], nil
	}
	if len(parts) != len(fields) {
		return fault("it has %s, and five are needed: minute, hour, day of month, month, day of week%s", count(len(parts)), moreFields(parts))
	}
	for i := range fields {
		text, problem := fields[i].expand(parts[i], hash(seed, i))
		if problem != "" {
			return "", &ScheduleError{Expression: expression, Field: i + 1, Problem: problem}
		}
		parts[i] = text
	}
	return strings.Join(parts, " "), nil
}

func count(parts int) string {
	if parts == 1 {
		return "one field"
	}
	return fmt.Sprintf("%d fields", parts)
}

func moreFields(parts []string) string {
	if len(parts) <= len(fields) {
		return ""
	}
	return " (there is none for seconds or years)"
}

// checkMacro says what is wrong with an expression that begins with an @, if
// anything is.
func checkMacro(parts []string) string {
	switch name := parts[0]; {
	case slices.Contains(macros, name) && len(parts) == 1:
		return ""
	case slices.Contains(macros, name):
		return fmt.Sprintf("%s stands alone", name)
	case strings.EqualFold(name, "@every"):
		return `@every is not taken, for its times would depend on when the object was made: write "*/15 * * * *" for every 15 minutes`
	case strings.EqualFold(name, "@reboot"):
		return "@reboot is not taken, for there is nothing that boots"
	case slices.Contains(macros, strings.ToLower(name)):
		return fmt.Sprintf("%q is written %s", name, strings.ToLower(name))
	default:
		return fmt.Sprintf("%q is none of the macros %s", name, strings.Join(macros, " "))
	}
}
