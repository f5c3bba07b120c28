package schedule

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxExpression is the length that the schema allows for spec.schedule.
const maxExpression = 200

var macros = []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}

// expand checks an expression and replaces each H with a number.
func expand(expression, seed string) (string, error) {
	fault := func(format string, values ...any) (string, error) {
		return "", &ScheduleError{Expression: expression, Problem: fmt.Sprintf(format, values...)}
	}
	if len(expression) > maxExpression {
		return fault("it has %d bytes; at most %d are allowed", len(expression), maxExpression)
	}
	for at, r := range expression {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return fault("the character %q (%U), after %d bytes, is not allowed", r, r, at)
		}
	}
	parts := strings.Fields(expression)
	if len(parts) == 0 {
		return fault("it is empty")
	}
	if strings.Contains(expression, "TZ=") {
		return fault("a time zone does not belong here: set spec.timeZone")
	}
	if strings.HasPrefix(parts[0], "@") {
		if problem := checkMacro(parts); problem != "" {
			return fault("%s", problem)
		}
		return parts[0], nil
	}
	if len(parts) != len(fields) {
		return fault("it has %s, but five are required: minute, hour, day of month, month, day of week%s", count(len(parts)), moreFields(parts))
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
	return " (there is no field for seconds or years)"
}

// checkMacro says what is wrong with an expression that begins with @, or returns "".
func checkMacro(parts []string) string {
	switch name := parts[0]; {
	case slices.Contains(macros, name) && len(parts) == 1:
		return ""
	case slices.Contains(macros, name):
		return fmt.Sprintf("%s must stand alone", name)
	case strings.EqualFold(name, "@every"):
		return `@every is not supported, because its times would depend on when the object was created: write "*/15 * * * *" for every 15 minutes`
	case strings.EqualFold(name, "@reboot"):
		return "@reboot is not supported: there is nothing that boots"
	case slices.Contains(macros, strings.ToLower(name)):
		return fmt.Sprintf("%q is spelled %s", name, strings.ToLower(name))
	default:
		return fmt.Sprintf("%q is not one of the macros %s", name, strings.Join(macros, " "))
	}
}
