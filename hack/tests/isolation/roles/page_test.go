package roles

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/page"
)

var docs = page.Page{
	Path: "../../../../docs/roles.md", Writer: "hack/tests/isolation/roles", Rewrite: "go test ./hack/tests/isolation/roles -update",
}

// TestPage compares the tables of docs/roles.md with the API server's answers.
// -update writes them.
func TestPage(t *testing.T) {
	t.Parallel()
	f := find(t)
	for _, fault := range f.notRefused() {
		t.Error(fault)
	}
	if t.Failed() {
		return
	}
	docs.Compare(t, map[string]string{
		"allowed": f.allowedTable(), "refused": f.refusedTable(), "everybody": f.everybodyTable(), "asked": f.askedTable(),
	}, *update)
}

// allowedTable has all verbs of each resource on which a member may use one.
func (f *findings) allowedTable() string {
	type row struct{ group, verbs, answers string }
	names := map[row][]string{}
	var order []row
	for _, r := range f.allowed() {
		for _, verbs := range f.sameAnswers(r) {
			key := row{r.group, quoted(verbs), f.answers(r, verbs[0])}
			if names[key] == nil {
				order = append(order, key)
			}
			names[key] = append(names[key], r.name)
		}
	}
	slices.SortStableFunc(order, func(a, b row) int {
		return first(strings.Contains(a.answers, "yes"), strings.Contains(b.answers, "yes"))
	})
	var table strings.Builder
	fmt.Fprint(&table, "| API group | resource | verbs | Viewer | Editor | Admin |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, key := range order {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", groupName(key.group), quoted(names[key]), key.verbs, key.answers)
	}
	return table.String()
}

// allowed returns the served resources on which a member may use a verb, those of this
// operator first.
func (f *findings) allowed() []resource {
	all := slices.DeleteFunc(slices.Clone(f.served), func(r resource) bool {
		return !slices.ContainsFunc(r.verbs, func(verb string) bool { return strings.Contains(f.answers(r, verb), "yes") })
	})
	slices.SortFunc(all, func(a, b resource) int {
		return cmp.Or(first(a.group == jobs, b.group == jobs), cmp.Compare(a.group, b.group), cmp.Compare(a.name, b.name))
	})
	return all
}

// first compares two values for sorting: true comes before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// answers returns the answers for Viewer, Editor and Admin, such as "no | yes | yes".
func (f *findings) answers(r resource, verb string) string {
	var words []string
	for _, who := range members {
		word := "no"
		if f.of(who, own)[action{verb: verb, group: r.group, resource: r.name}] {
			word = "yes"
		}
		words = append(words, word)
	}
	return strings.Join(words, " | ")
}

// sameAnswers groups the resource's verbs by their answers.
func (f *findings) sameAnswers(r resource) [][]string {
	var all [][]string
	for _, verb := range sortedVerbs(r.verbs) {
		i := slices.IndexFunc(all, func(verbs []string) bool { return f.answers(r, verbs[0]) == f.answers(r, verb) })
		if i < 0 {
			all = append(all, []string{verb})
			continue
		}
		all[i] = append(all[i], verb)
	}
	return all
}

// everybodyTable has the rights of the stranger. Members have no others outside their
// namespace.
func (f *findings) everybodyTable() string {
	var table strings.Builder
	fmt.Fprint(&table, "| who | verb | what |\n| --- | --- | --- |\n")
	writeRows(&table, "each user and ServiceAccount", f.of(stranger, clusterWide))
	writeRows(&table, "each ServiceAccount, so `runner` too", f.beyond(runner, clusterWide))
	return table.String()
}

func writeRows(table *strings.Builder, who string, allowed rights) {
	byVerbs := map[string][]string{}
	verbs := map[string][]string{}
	for a := range allowed {
		what := a.resource
		if a.path != "" {
			what = a.path
		}
		verbs[what] = append(verbs[what], a.verb)
	}
	for what, v := range verbs {
		key := quoted(sortedVerbs(v))
		byVerbs[key] = append(byVerbs[key], what)
	}
	for _, key := range slices.Sorted(maps.Keys(byVerbs)) {
		fmt.Fprintf(table, "| %s | %s | %s |\n", who, key, quoted(topmost(byVerbs[key])))
	}
}

// topmost removes paths that are below others, as /apis/apps/v1 is below /apis.
func topmost(all []string) []string {
	slices.Sort(all)
	return slices.Compact(slices.DeleteFunc(all, func(path string) bool {
		return slices.ContainsFunc(all, func(other string) bool {
			return other != "/" && other != path && strings.HasPrefix(path, strings.TrimSuffix(other, "/")+"/")
		})
	}))
}

// askedTable has everything about which there was a question.
func (f *findings) askedTable() string {
	names := map[string][]string{}
	for _, r := range f.served {
		names[r.group] = append(names[r.group], r.name)
	}
	var table strings.Builder
	fmt.Fprint(&table, "| API group | resources and subresources |\n| --- | --- |\n")
	for _, group := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[group])
		fmt.Fprintf(&table, "| %s | %s |\n", groupName(group), quoted(names[group]))
	}
	verbs := map[string][]string{}
	for _, r := range special() {
		for _, verb := range r.verbs {
			if !slices.Contains(slices.Concat(readVerbs, writeVerbs), verb) {
				verbs[verb] = append(verbs[verb], r.name)
			}
		}
	}
	fmt.Fprint(&table, "\n| verb besides those served | on |\n| --- | --- |\n| `update` | `<each of them>/finalizers` |\n")
	for _, verb := range slices.Sorted(maps.Keys(verbs)) {
		slices.Sort(verbs[verb])
		fmt.Fprintf(&table, "| `%s` | %s |\n", verb, quoted(slices.Compact(verbs[verb])))
	}
	return table.String()
}

func groupName(group string) string {
	if group == "" {
		return "(core)"
	}
	return "`" + group + "`"
}

// sortedVerbs sorts verbs as kubectl does, reading before writing.
func sortedVerbs(verbs []string) []string {
	known := slices.Concat(readVerbs, writeVerbs)
	return slices.SortedFunc(slices.Values(verbs), func(a, b string) int {
		return cmp.Or(cmp.Compare(uint(slices.Index(known, a)), uint(slices.Index(known, b))), cmp.Compare(a, b))
	})
}

func quoted(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "`" + strings.Join(words, "`, `") + "`"
}
