package schedule

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxTimeZone is the length that spec.timeZone may have.
const maxTimeZone = 64

// timeZonePart is what Kubernetes' validation of a CronJob allows between slashes.
var timeZonePart = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

// checkTimeZone takes what Kubernetes' validation of a CronJob takes, and not what
// only some machines have beside the database's names. With one of right/, which
// count leap seconds, the library gives the same time for ever, and Kubernetes'
// controller makes Jobs without a pause.
func checkTimeZone(name string) error {
	switch {
	case name == "":
		return &TimeZoneError{TimeZone: name, Problem: "it is empty"}
	case len(name) > maxTimeZone:
		return &TimeZoneError{TimeZone: name, Problem: "it is too long"}
	case strings.EqualFold(name, "Local"):
		return &TimeZoneError{TimeZone: name, Problem: "it would be another one on each machine"}
	}
	if set, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"right", "posix", "localtime", "posixrules"}, set) {
		return &TimeZoneError{TimeZone: name, Problem: "it is none that every machine has"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || !timeZonePart.MatchString(part) {
			return &TimeZoneError{TimeZone: name, Problem: "it is not known"}
		}
	}
	if _, err := time.LoadLocation(name); err != nil {
		return &TimeZoneError{TimeZone: name, Problem: "it is not known"}
	}
	return nil
}
