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

// TestReasonsAreDocumented checks that docs/operations.md explains each reason and outcome.
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

// TestReasonsAreDocumentedForTheirKind checks that the section of docs/operations.md about a
// kind explains each reason that the kind's reconciler sets.
func TestReasonsAreDocumentedForTheirKind(t *testing.T) {
	t.Parallel()
	page := string(read(t, filepath.Join(root, "docs/operations.md")))
	for folder, heading := range map[string]string{
		"controllers/job": "A job's reasons", "controllers/recurring": "A recurring job's reasons", "controllers/workspace": "A workspace's reasons",
	} {
		_, section, found := strings.Cut(page, "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		set := reasonsSet(t, folder)
		if !found || len(set) == 0 {
			t.Errorf("found section %q: %t; reasons that %s sets: %d", heading, found, folder, len(set))
		}
		for _, reason := range set {
			if !strings.Contains(section, "`"+reason+"`") {
				t.Errorf("docs/operations.md does not explain `%s` in %q: %s sets it", reason, heading, folder)
			}
		}
	}
}

// reasonsSet returns the reasons that a package's code names, as v1alpha1.Reason…, anywhere but
// in a comparison.
func reasonsSet(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, reasonsIn(file)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func reasonsIn(file *ast.File) []string {
	var all []string
	compared := map[ast.Node]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CaseClause:
			for _, value := range node.List {
				compared[value] = true
			}
		case *ast.BinaryExpr:
			compared[node.X], compared[node.Y] = true, true
		case *ast.SelectorExpr:
			from, isName := node.X.(*ast.Ident)
			reason, isReason := strings.CutPrefix(node.Sel.Name, "Reason")
			if isName && from.Name == "v1alpha1" && isReason && !compared[node] {
				all = append(all, reason)
			}
		}
		return true
	})
	return all
}

// constants returns the values of a file's string constants whose names have the prefix.
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
	image   = regexp.MustCompile(`<(?:img|source)[^>]* (?:src|srcset)="([^"]*)"`)
	code    = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]+`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	slugged = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks checks that every link and picture of a page leads to a file of this
// repository, and to a section that the file has.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range linkedPages(t) {
		text := code.ReplaceAllString(string(read(t, page)), "")
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			checkLink(t, page, found[1], found[2])
		}
		for _, found := range image.FindAllStringSubmatch(text, -1) {
			checkLink(t, page, found[1], "")
		}
	}
}

// linkedPages returns all Markdown pages, including those for contributors only.
func linkedPages(t *testing.T) []string {
	t.Helper()
	all := pages(t)
	for _, pattern := range []string{".github/*.md", "docs/decisions/*.md", "hack/env/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Errorf("no page matches %s: %v", pattern, err)
		}
		all = append(all, found...)
	}
	return all
}

func checkLink(t *testing.T, page, path, section string) {
	t.Helper()
	if strings.Contains(path, "://") {
		return
	}
	to := page
	if path != "" {
		to = filepath.Join(filepath.Dir(page), path)
	}
	if _, err := os.Stat(to); err != nil {
		t.Errorf("%s: %v", page, err)
		return
	}
	if section != "" && !slices.Contains(sections(string(read(t, to))), section) {
		t.Errorf("%s: %s has no section #%s", page, to, section)
	}
}

// TestEveryPageIsListed checks that docs/README.md leads to each page of docs.
func TestEveryPageIsListed(t *testing.T) {
	t.Parallel()
	index := filepath.Join(root, "docs/README.md")
	text := string(read(t, index))
	found, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range found {
		if page != index && !strings.Contains(text, "]("+filepath.Base(page)+")") {
			t.Errorf("docs/README.md does not list %s", filepath.Base(page))
		}
	}
}

// sections returns the anchors of a page's headings.
func sections(page string) []string {
	var all []string
	for _, found := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(slugged.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	return all
}

// TestDatabasePageShowsTheSQL checks that admins run the same SQL as the tests and the demo.
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

// TestExamplesAreStrict checks that an example in a page has no field that its kind lacks.
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

// strictIfOurs decodes a document of one of the product's kinds strictly, and returns 1. It
// returns 0 for any other document.
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

var named = regexp.MustCompile("`((?:api|controllers|runner|config|hack|docs)/[\\w./-]*)`")

// TestContributingNamesFiles checks that the files and folders that docs/contributing.md
// names exist.
func TestContributingNamesFiles(t *testing.T) {
	t.Parallel()
	text := string(read(t, filepath.Join(root, "docs/contributing.md")))
	for _, found := range named.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, found[1])); err != nil {
			t.Errorf("docs/contributing.md: %v", err)
		}
	}
	_, walk, _ := strings.Cut(text, "### One job, from apply to Succeeded")
	walk, _, _ = strings.Cut(walk, "\n## ")
	for _, found := range regexp.MustCompile("`([a-z]+\\.go)`").FindAllStringSubmatch(walk, -1) {
		if _, err := os.Stat(filepath.Join(root, "controllers/job", found[1])); err != nil {
			t.Errorf("docs/contributing.md: %v", err)
		}
	}
}

// TestPictures checks that each picture in docs/images is small, and shown by a page in both
// color schemes.
func TestPictures(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, page := range pages(t) {
		text.Write(read(t, page))
	}
	pictures, err := filepath.Glob(filepath.Join(root, "docs/images/*"))
	if err != nil || len(pictures) == 0 {
		t.Fatalf("docs/images has no pictures: %v", err)
	}
	for _, picture := range pictures {
		if size := len(read(t, picture)); size > 100<<10 {
			t.Errorf("%s has %d bytes: make screenshots writes smaller ones", picture, size)
		}
		name := strings.NewReplacer("-light.png", "", "-dark.png", "").Replace(filepath.Base(picture))
		for _, scheme := range []string{"light", "dark"} {
			if !strings.Contains(text.String(), "images/"+name+"-"+scheme+".png") {
				t.Errorf("no page shows images/%s-%s.png", name, scheme)
			}
		}
	}
}
