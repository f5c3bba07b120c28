package manifests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestReasonsAreDocumented: whoever is woken by a reason finds it in docs/operations.md.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	page := string(read(t, filepath.Join(root, "docs/operations.md")))
	for prefix, path := range map[string]string{"Reason": "api/v1alpha1/names.go", "Outcome": "api/v1alpha1/workspacejob_status.go"} {
		words := constants(t, path, prefix)
		if len(words) == 0 {
			t.Errorf("%s has no constant %s…", path, prefix)
		}
		for _, word := range words {
			if !strings.Contains(page, "`"+word+"`") {
				t.Errorf("docs/operations.md does not explain `%s`", word)
			}
		}
	}
}

// constants are the values of a file's string constants whose names have the prefix.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) == 0 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

var (
	link    = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
	code    = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]+`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	slugged = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks: a page's links to files of this repository, and to their sections, lead
// somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		text := string(read(t, page))
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			path, section := found[1], found[2]
			if strings.Contains(path, "://") {
				continue
			}
			to := page
			if path != "" {
				to = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if section != "" && !slices.Contains(sections(string(read(t, to))), section) {
				t.Errorf("%s: %s has no section #%s", page, to, section)
			}
		}
	}
}

// sections are the names by which links know a page's headings.
func sections(page string) []string {
	var all []string
	for _, found := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(slugged.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	return all
}

// TestDatabasePageShowsTheSQL: what admins run is what the tests and the demo run.
func TestDatabasePageShowsTheSQL(t *testing.T) {
	t.Parallel()
	page := string(read(t, filepath.Join(root, "docs/database.md")))
	for _, name := range []string{"server.sql", "tenant.sql"} {
		text := string(read(t, filepath.Join(root, "hack/env/postgres/sql", name)))
		if !strings.Contains(page, "```sql\n"+text+"```\n") {
			t.Errorf("docs/database.md does not show hack/env/postgres/sql/%s as it is", name)
		}
	}
}

var fence = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```")

// TestExamplesAreStrict: an example in a page has no field that its kind lacks.
func TestExamplesAreStrict(t *testing.T) {
	t.Parallel()
	count := 0
	for _, page := range pages(t) {
		for _, block := range fence.FindAllStringSubmatch(string(read(t, page)), -1) {
			for _, document := range splitText(t, page, []byte(block[1])) {
				count += strictIfOurs(t, page, document)
			}
		}
	}
	if count == 0 {
		t.Error("no page has an example")
	}
}

// strictIfOurs decodes a document of one of our kinds, and reports how many it was.
func strictIfOurs(t *testing.T, path string, document []byte) int {
	t.Helper()
	switch typeOf(t, path, document).Kind {
	case "Workspace":
		strict(t, path, document, &v1alpha1.Workspace{})
	case "WorkspaceJob":
		strict(t, path, document, &v1alpha1.WorkspaceJob{})
	case "WorkspaceRecurringJob":
		strict(t, path, document, &v1alpha1.WorkspaceRecurringJob{})
	default:
		return 0
	}
	return 1
}
