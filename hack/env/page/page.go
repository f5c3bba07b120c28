// Package page compares tables of the documentation with what tests found.
package page

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Page is a page of the documentation with tables that a test writes.
type Page struct {
	// Path is the path of the page.
	Path string
	// Writer is the folder of the test, as the page names it.
	Writer string
	// Rewrite is the command that writes the tables.
	Rewrite string
}

// Compare fails unless the page has these tables, by name. With update it writes them.
func (p Page) Compare(t testing.TB, tables map[string]string, update bool) {
	t.Helper()
	text, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	fresh := string(text)
	for name, rows := range tables {
		begin, end := "<!-- "+name+": "+p.Writer+" writes this -->\n", "<!-- end of "+name+" -->"
		before, rest, begun := strings.Cut(fresh, begin)
		_, after, ended := strings.Cut(rest, end)
		if !begun || !ended {
			t.Fatalf("%s has no %q with an %q", p.Path, begin, end)
		}
		fresh = before + begin + "\n" + rows + "\n" + end + after
	}
	switch {
	case fresh == string(text):
	case !update:
		t.Fatalf("%s differs from what the test found; run `%s`, and check what it changes (-page +found):\n%s",
			p.Path, p.Rewrite, cmp.Diff(strings.Split(string(text), "\n"), strings.Split(fresh, "\n")))
	default:
		if err := os.WriteFile(p.Path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
