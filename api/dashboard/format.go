package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/printable"
)

// moment is a time as pages show it.
type moment struct {
	// Machine is RFC 3339, Text for people.
	Machine, Text string
}

// at returns a time in UTC; nil for nil and zero.
func at(value any) *moment {
	switch t := value.(type) {
	case *metav1.Time:
		if t != nil {
			return momentOf(t.Time)
		}
	case metav1.Time:
		return momentOf(t.Time)
	case time.Time:
		return momentOf(t)
	}
	return nil
}

func momentOf(t time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	layout := "2 Jan 15:04:05"
	if t.Year() != time.Now().UTC().Year() {
		layout = "2 Jan 2006 15:04:05"
	}
	return &moment{Machine: t.Format(time.RFC3339), Text: t.Format(layout)}
}

// dateTime shows a time in its own zone.
func dateTime(t time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	return &moment{Machine: t.Format(time.RFC3339), Text: t.Format("Mon 2 Jan 2006 15:04 MST")}
}

func hourOf(t time.Time) string { return t.UTC().Format("2 Jan 15:04") }

// between returns the time between the two; "" while one of them is unknown.
func between(from, to *metav1.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return duration(to.Sub(from.Time))
}

func duration(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", max(0, int(d/time.Second)))
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%d min %d s", int(d/time.Minute), int(d%time.Minute/time.Second))
	}
	return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

// count returns a number with its noun: 1 job, 2 jobs.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

func prettyJSON(raw *apiextensionsv1.JSON) string {
	if raw == nil || len(raw.Raw) == 0 {
		return ""
	}
	var buffer bytes.Buffer
	if err := json.Indent(&buffer, raw.Raw, "", "  "); err != nil {
		return printable.Text(string(raw.Raw))
	}
	return printable.Text(buffer.String())
}
