package schedule

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxTimeZone is the length that the schema allows for spec.timeZone.
const maxTimeZone = 64

// timeZonePart matches what Kubernetes' validation of a CronJob allows between slashes.
var timeZonePart = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

// checkTimeZone accepts what Kubernetes' validation of a CronJob accepts, except the names
// that only some machines have in addition to the database's. With a zone below right/, which
// counts leap seconds, the library would return the same time forever, and Kubernetes'
// controller would create Jobs without pause.
func checkTimeZone(name string) error {
	switch {
	case name == "":
		return &TimeZoneError{TimeZone: name, Problem: "it is empty"}
	case len(name) > maxTimeZone:
		return &TimeZoneError{TimeZone: name, Problem: "it is too long"}
	case strings.EqualFold(name, "Local"):
		return &TimeZoneError{TimeZone: name, Problem: "it means another time zone on each machine"}
	}
	if set, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"right", "posix", "localtime", "posixrules"}, set) {
		return &TimeZoneError{TimeZone: name, Problem: "it does not exist on every machine"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || !timeZonePart.MatchString(part) {
			return &TimeZoneError{TimeZone: name, Problem: "it is unknown"}
		}
	}
	if _, err := time.LoadLocation(name); err != nil {
		return &TimeZoneError{TimeZone: name, Problem: "it is unknown"}
	}
	return nil
}
