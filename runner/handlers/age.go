package handlers

import (
	"fmt"
	"regexp"
	"strconv"
)

// age is a span of calendar time: months and days have no fixed number of seconds.
type age struct {
	months, days int
	seconds      float64
}

const (
	// maxAge bounds each number of an age.
	maxAge = 100_000
	// maxYears bounds an age. The result reports the cut-off in JSON, which has no times
	// BC, and PostgreSQL has none before 4713 BC.
	maxYears = 1000
)

// parseAge reads an age such as "365d", "12mo", "1y6mo" or "36h": whole numbers with
// the units y (years), mo (months), w (weeks), d (days), h (hours), m (minutes) and
// s (seconds), largest first.
func parseAge(text string) (age, error) {
	var parsed age
	parts := regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)mo)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$`).FindStringSubmatch(text)
	if parts == nil || text == "" {
		return parsed, fmt.Errorf("%q is not an age: write it as 365d, 12mo, 2w, 36h or 1y6mo (y, mo, w, d, h, m for minutes, s)", text)
	}
	numbers := make([]int, len(parts))
	for i, part := range parts[1:] {
		if part == "" {
			continue
		}
		number, err := strconv.Atoi(part)
		if err != nil || number > maxAge {
			return parsed, fmt.Errorf("%q is not a valid age: its numbers must not exceed %d", text, maxAge)
		}
		numbers[i] = number
	}
	parsed.months = numbers[0]*12 + numbers[1]
	parsed.days = numbers[2]*7 + numbers[3]
	parsed.seconds = float64(numbers[4]*3600 + numbers[5]*60 + numbers[6])
	if parsed == (age{}) {
		return parsed, fmt.Errorf("%q is not a valid age: it is zero", text)
	}
	if days := parsed.months*30 + parsed.days + int(parsed.seconds)/86400; days > maxYears*365 {
		return parsed, fmt.Errorf("%q is not a valid age: it goes back more than %d years", text, maxYears)
	}
	return parsed, nil
}
