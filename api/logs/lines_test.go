package logs_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openradius/workspace-jobs/api/logs"
)

// part is a line as a test writes it.
type part struct {
	Text, Position string
	More           bool
}

func read(t *testing.T, log string, limit int, timed bool) []part {
	t.Helper()
	lines := logs.NewLines(strings.NewReader(log), limit, timed)
	var all []part
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		p := part{Text: line.Text, More: line.More}
		if !line.Position.IsZero() {
			p.Position = line.Position.String()
		}
		all = append(all, p)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	const at, later = "2026-03-01T12:00:00.5Z", "2026-03-01T13:00:01+01:00"
	for name, c := range map[string]struct {
		log   string
		timed bool
		want  []part
	}{
		"nothing":       {"", false, nil},
		"line ends":     {"one\n\ntwo\r\nthree", false, []part{{Text: "one"}, {}, {Text: "two"}, {Text: "three"}}},
		"times as text": {at + " one\n", false, []part{{Text: at + " one"}}},
		"times": {
			at + " one\n" + at + " two\n" + later + " three\n", true,
			[]part{{"one", at + "/1", false}, {"two", at + "/2", false}, {"three", "2026-03-01T12:00:01Z/1", false}},
		},
		"the kubelet's own words": {
			at + " one\nunable to retrieve logs\n" + at + " two\n", true,
			[]part{{"one", at + "/1", false}, {Text: "unable to retrieve logs"}, {"two", at + "/2", false}},
		},
		"a long line": {
			at + " " + strings.Repeat("x", 30) + "\n" + at + " two\n", true,
			[]part{{strings.Repeat("x", 9), at + "/1", true}, {strings.Repeat("x", 21), at + "/1", false}, {"two", at + "/2", false}},
		},
		"a long line of long characters": {
			"x" + strings.Repeat("é", 40) + "\n", false,
			[]part{{Text: "x" + strings.Repeat("é", 15), More: true}, {Text: strings.Repeat("é", 16), More: true}, {Text: strings.Repeat("é", 9)}},
		},
		"bytes that are not UTF-8": {strings.Repeat("\xff", 40), false, []part{{Text: strings.Repeat("\xff", 32), More: true}, {Text: strings.Repeat("\xff", 8)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, read(t, c.log, 32, c.timed)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"", "x", "1", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z/x", "/1"} {
		if p, err := logs.ParsePosition(wrong); err == nil {
			t.Errorf("%q is read as %s", wrong, p)
		}
	}
	var before logs.Position
	for _, text := range []string{"2026-01-02T03:04:05Z/1", "2026-01-02T03:04:05Z/2", "2026-01-02T03:04:05.1Z/1", "2026-01-02T03:04:06Z/1"} {
		p, err := logs.ParsePosition(text)
		if err != nil || p.String() != text || !p.After(before) || before.After(p) {
			t.Errorf("%s is read as %s, after %s: %t, %v", text, p, before, p.After(before), err)
		}
		before = p
	}
}
