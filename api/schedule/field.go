package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is one of the five fields of an expression.
type field struct {
	ordinal, name string
	min, max      int
	// hashMax is the highest value that H stands for if it has no range of its own.
	hashMax int
	// names are those of the values, starting with that of min.
	names []string
	// allowed and example are for messages.
	allowed, example string
}

var fields = [...]field{
	{
		ordinal: "1st", name: "minute", max: 59, hashMax: 59, allowed: "0 to 59",
		example: `"*/15 * * * *" is every 15 minutes`,
	},
	{
		ordinal: "2nd", name: "hour", max: 23, hashMax: 23, allowed: "0 to 23",
		example: `"0 8-17 * * *" is on the hour from 08:00 to 17:00`,
	},
	{
		ordinal: "3rd", name: "day of month", min: 1, max: 31, hashMax: 28, allowed: "1 to 31",
		example: `"0 3 1 * *" is 03:00 on the first of each month`,
	},
	{
		ordinal: "4th", name: "month", min: 1, max: 12, hashMax: 12, allowed: "1 to 12 and jan to dec",
		names:   []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
		example: `"0 3 1 jan,jul *" is 03:00 on 1 January and 1 July`,
	},
	{
		ordinal: "5th", name: "day of week", max: 6, hashMax: 6, allowed: "0 (Sunday) to 6 and sun to sat",
		names:   []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"},
		example: `"0 3 * * mon-fri" is 03:00 from Monday to Friday`,
	},
}

// expand checks the text of a field and replaces each H with a number, or says what is wrong.
func (f *field) expand(text string, hash uint64) (expanded, problem string) {
	items := strings.Split(text, ",")
	for i, item := range items {
		if items[i], problem = f.item(item, hash); problem != "" {
			return "", problem
		}
	}
	return strings.Join(items, ","), ""
}

// item expands what is between commas: a value, a range, * or H, each with or without a step.
func (f *field) item(text string, hash uint64) (expanded, problem string) {
	if text == "" {
		return "", "the list has an empty item"
	}
	base, stepText, stepped := strings.Cut(text, "/")
	step := 0
	if stepped {
		if step, problem = f.step(stepText); problem != "" {
			return "", problem
		}
	}
	switch {
	case base == "*" || base == "?":
		return text, ""
	case base == "H":
		return f.spread(text, f.min, f.hashMax, step, hash)
	case strings.HasPrefix(base, "H(") && strings.HasSuffix(base, ")"):
		low, high, problem := f.bounds(base[len("H(") : len(base)-1])
		if problem != "" {
			return "", problem
		}
		return f.spread(text, low, high, step, hash)
	}
	if _, _, problem = f.bounds(base); problem != "" {
		return "", problem
	}
	return text, ""
}

// bounds parses a value or a range of values.
func (f *field) bounds(text string) (low, high int, problem string) {
	lowText, highText, ranged := strings.Cut(text, "-")
	if low, problem = f.value(lowText, text); problem != "" || !ranged {
		return low, low, problem
	}
	if high, problem = f.value(highText, text); problem != "" {
		return 0, 0, problem
	}
	if low > high {
		return 0, 0, fmt.Sprintf("the range %s runs backwards (to wrap around, write %d-%d,%d-%d)", quote(text), low, f.max, f.min, high)
	}
	return low, high, ""
}

func (f *field) value(text, within string) (value int, problem string) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, ""
	}
	if !isNumber(text) {
		return 0, fmt.Sprintf("%s is not a valid value", quote(within))
	}
	value, err := strconv.Atoi(text)
	switch {
	case err != nil || value > f.max:
		return 0, fmt.Sprintf("%s is above %d", quote(text), f.max)
	case value < f.min:
		return 0, fmt.Sprintf("%s is below %d", quote(text), f.min)
	}
	return value, ""
}

// step parses a step. It refuses one that is longer than the field, which Kubernetes accepts:
// steps start again with each hour, day, month, year or week, so it can't do what it says.
func (f *field) step(text string) (step int, problem string) {
	if !isNumber(text) {
		return 0, fmt.Sprintf("the step %s is not a number", quote(text))
	}
	step, err := strconv.Atoi(text)
	values := f.max - f.min + 1
	switch {
	case err != nil || step > values:
		return 0, fmt.Sprintf("the step %s is longer than the field's %d values, and steps don't continue past its end", quote(text), values)
	case step == 0:
		return 0, "a step must be at least 1"
	}
	return step, ""
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// spread replaces H between low and high with a number, or, with a step, with a range that
// starts at one of the first step numbers.
func (f *field) spread(text string, low, high, step int, hash uint64) (expanded, problem string) {
	values := high - low + 1
	if step > values {
		return "", fmt.Sprintf("the step of %s is longer than its %d values", quote(text), values)
	}
	if step == 0 {
		return strconv.Itoa(low + pick(hash, values)), ""
	}
	return fmt.Sprintf("%d-%d/%d", low+pick(hash, step), high, step), ""
}
