package benchmark

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/page"
)

var update = flag.Bool("update", false, "write the table of docs/isolation-benchmark.md")

var docs = page.Page{
	Path: "../../../../docs/isolation-benchmark.md", Writer: "hack/tests/isolation/benchmark",
	Rewrite: "make cluster-tool && CLUSTER=$PWD/bin/cluster go test ./hack/tests/isolation/benchmark -update",
}

// row is one check of the benchmark.
type row struct {
	// id is the benchmark's ID, or "open" for a check that it describes but does not
	// implement.
	id string
	// what is the name of the check, and asks what the benchmark asks for.
	what, asks string
	// differs says why this operator deliberately differs, if it does.
	differs string
	check   func(*clusterT, *seen)
}

// seen is what a row's check found, for the table. If something is wrong the test fails,
// and no table is written or compared.
type seen struct{ by [3][]string }

// Who tried: a member, a user who may create pods, or a member through a job or schedule.
const (
	members = iota
	maker
	kinds
)

func (s *seen) say(who int, format string, args ...any) {
	s.by[who] = append(s.by[who], fmt.Sprintf(format, args...))
}

// cells returns the cells of the table, one for each who tried.
func (s *seen) cells() string {
	var cells []string
	for _, lines := range s.by {
		cells = append(cells, strings.Join(lines, "; "))
	}
	return strings.Join(cells, " | ")
}

func rows() []row {
	return slices.Concat(borderRows(), podRows(), limitRows(), ownRows(), storageRows(), networkRows())
}

// TestBenchmark runs all rows, and compares what they found with the page.
func TestBenchmark(t *testing.T) {
	c := cluster(t)
	c.tenants()
	c.makeControl()
	all := rows()
	lines := make([]string, len(all))
	for i, r := range all {
		t.Run(strings.ReplaceAll(r.what, " ", "-"), func(t *testing.T) {
			var s seen
			r.check(c.of(t), &s)
			for who := range s.by {
				if len(s.by[who]) == 0 {
					t.Errorf("nothing was tried by %d", who)
				}
			}
			lines[i] = fmt.Sprintf("| %d | **%s**<br>%s | %s | %s | %s |", i+1, r.what, r.id, r.asks, s.cells(), orNo(r.differs))
		})
	}
	if t.Failed() || slices.Contains(lines, "") {
		return // a row failed, or -run excluded some
	}
	header := "| | check | requirement | a member | a user who may create pods | through jobs | differs |\n| --- | --- | --- | --- | --- | --- | --- |\n"
	docs.Compare(t, map[string]string{"table": header + strings.Join(lines, "\n") + "\n"}, *update)
}

func orNo(differs string) string {
	if differs == "" {
		return "no"
	}
	return "yes: " + differs
}

// code formats words as code, for the table.
func code(words ...string) string {
	marked := make([]string, len(words))
	for i, word := range words {
		marked[i] = "`" + strings.ReplaceAll(word, "|", `\|`) + "`"
	}
	return strings.Join(marked, ", ")
}

// distinct sorts words and removes duplicates.
func distinct(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return slices.Compact(words)
}
