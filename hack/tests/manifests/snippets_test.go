package manifests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/rest"
)

// pages returns the pages that users read: README.md, docs and those of the examples.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Errorf("no page matches %s", pattern)
		}
		all = append(all, found...)
	}
	return all
}

var (
	goFence   = regexp.MustCompile("(?s)\n```go\n(.*?\n)```")
	goPackage = regexp.MustCompile(`(?m)^package `)
	goTop     = regexp.MustCompile(`(?m)^(func|type|var|const|import) `)
)

// imports maps names that snippets use without an import to their packages.
var imports = map[string]string{
	"context": "context", "fmt": "fmt", "time": "time", "errors": "errors",
	"rest":     "k8s.io/client-go/rest",
	"client":   "github.com/openradius/workspace-jobs/api/client",
	"cron":     "github.com/openradius/workspace-jobs/api/client/cron",
	"v1alpha1": "github.com/openradius/workspace-jobs/api/v1alpha1",
	"runner":   "github.com/openradius/workspace-jobs/runner",
	"handlers": "github.com/openradius/workspace-jobs/runner/handlers",
	"postgres": "github.com/openradius/workspace-jobs/hack/env/postgres",
	"pgx":      "github.com/jackc/pgx/v5",
}

// TestGoSnippetsCompile compiles the Go in all pages against our packages. Statements can use
// the names in given, and leave variables unused.
func TestGoSnippetsCompile(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	mod := strings.Replace(string(read(t, filepath.Join(root, "go.mod"))), "module github.com/openradius/workspace-jobs",
		"module snippets\n\nrequire github.com/openradius/workspace-jobs v0.0.0\n\nreplace github.com/openradius/workspace-jobs => "+absolute(t, root), 1)
	write(t, filepath.Join(module, "go.mod"), mod)
	write(t, filepath.Join(module, "go.sum"), string(read(t, filepath.Join(root, "go.sum"))))
	count := 0
	for _, page := range pages(t) {
		for i, found := range goFence.FindAllStringSubmatch(string(read(t, page)), -1) {
			name := fmt.Sprintf("%s_%d", strings.TrimSuffix(filepath.Base(page), ".md"), i+1)
			count++
			write(t, filepath.Join(module, name, "snippet.go"), program(found[1]))
		}
	}
	if count < 10 {
		t.Errorf("found only %d snippets", count)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-gcflags=-e", "-o", os.DevNull, "./...")
	cmd.Dir = module
	output, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	var faults strings.Builder
	for line := range strings.Lines(string(output)) {
		if !strings.HasPrefix(line, "# ") && !strings.Contains(line, "declared and not used: ") {
			faults.WriteString(line)
		}
	}
	if faults.Len() > 0 {
		t.Errorf("snippets, named by page and number, do not compile:\n%s", faults.String())
	}
}

// TestProgramsAreTheExamples checks that each whole program in a page is one of docs/examples,
// which the end-to-end tests run.
func TestProgramsAreTheExamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(root, "docs/examples/*/main.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("there is no example in Go: %v", err)
	}
	examples := map[string]bool{}
	for _, path := range paths {
		examples[string(read(t, path))] = false
	}
	for _, page := range pages(t) {
		for _, found := range goFence.FindAllStringSubmatch(string(read(t, page)), -1) {
			if !goPackage.MatchString(found[1]) {
				continue
			}
			if _, known := examples[found[1]]; !known {
				t.Errorf("%s: the program is not, letter by letter, a main.go of docs/examples:\n%s", page, found[1])
			}
			examples[found[1]] = true
		}
	}
	for text, shown := range examples {
		if !shown {
			t.Errorf("no page shows this program of docs/examples:\n%s", text)
		}
	}
}

// given declares what a page's text introduces before its statements.
const given = `
type args struct{ Table string }

func statements(ctx context.Context, config *rest.Config, acme *client.Workspace, args args) error {
`

// program turns a snippet into a file: a program, declarations, or statements.
func program(snippet string) string {
	if goPackage.MatchString(snippet) {
		return snippet
	}
	body := snippet
	if !goTop.MatchString(snippet) {
		body = given + "{\n" + snippet + "}\nreturn nil\n}\n"
	} else if !strings.Contains(snippet, "type args ") {
		body = "type args struct{}\n" + snippet
	}
	text := &strings.Builder{}
	text.WriteString("package snippet\n")
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(body) {
			fmt.Fprintf(text, "import %q\n", path)
		}
	}
	return text.String() + body
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	makeLine = regexp.MustCompile("(?m)(?:^    |`|&& |; )make((?: [a-z][a-z-]*)+)")
	target   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	goRun    = regexp.MustCompile(`go run (\./[a-z/-]+)`)
)

// TestCommandsExist checks that the targets and programs in the pages' commands exist.
func TestCommandsExist(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, found := range target.FindAllStringSubmatch(string(read(t, filepath.Join(root, "Makefile"))), -1) {
		targets = append(targets, found[1])
	}
	count := 0
	for _, page := range pages(t) {
		text := string(read(t, page))
		for _, found := range makeLine.FindAllStringSubmatch(text, -1) {
			for _, name := range strings.Fields(found[1]) {
				count++
				if !slices.Contains(targets, name) {
					t.Errorf("%s: the Makefile has no target %q", page, name)
				}
			}
		}
		for _, found := range goRun.FindAllStringSubmatch(text, -1) {
			if programs, err := filepath.Glob(filepath.Join(root, found[1], "main.go")); err != nil || len(programs) == 0 {
				t.Errorf("%s: %s is not a program", page, found[1])
			}
		}
	}
	if count < 10 {
		t.Errorf("found only %d commands", count)
	}
}

// route matches a route in code, such as `POST /api/jobs/cleanup`; … stands for a workspace's path.
var route = regexp.MustCompile("`(GET|POST|PUT|DELETE) ((?:/api|…)/[^`? ]+)")

var apiLine = regexp.MustCompile(`(?m)\bapi (GET|POST|PUT|DELETE) (/\S+?)(?:\?\S*)?(?: -N)?(?: -d '([^'\n]*)')?$`)

// TestRESTLinesFit checks that a line with api METHOD PATH is a route, and that its body fits it.
func TestRESTLinesFit(t *testing.T) {
	t.Parallel()
	var described struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := yaml.Unmarshal(read(t, filepath.Join(root, "docs/openapi.yaml")), &described); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, page := range pages(t) {
		text := string(read(t, page))
		for _, found := range route.FindAllStringSubmatch(text, -1) {
			path := strings.Replace(found[2], "…", "/api/workspaces/acme", 1)
			if !has(described.Paths, found[1], path) {
				t.Errorf("%s: docs/openapi.yaml has no %s %s", page, found[1], path)
			}
		}
		for _, found := range apiLine.FindAllStringSubmatch(text, -1) {
			count++
			path := "/api" + found[2]
			if !has(described.Paths, found[1], path) {
				t.Errorf("%s: docs/openapi.yaml has no %s %s", page, found[1], path)
			}
			if found[3] != "" {
				strictBody(t, page, path, found[3])
			}
		}
		if lines := strings.Count(text, "    api "); lines != len(apiLine.FindAllString(text, -1)) {
			t.Errorf("%s: %d lines call api, %d are understood", page, lines, len(apiLine.FindAllString(text, -1)))
		}
	}
	if count < 10 {
		t.Errorf("found only %d lines", count)
	}
}

var parameter = regexp.MustCompile(`\\\{[^/]*\\\}`)

// has reports whether the document describes a route that matches the path.
func has(described map[string]map[string]any, method, path string) bool {
	for template, methods := range described {
		pattern := parameter.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+")
		if methods[strings.ToLower(method)] != nil && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			return true
		}
	}
	return false
}

func strictBody(t *testing.T, page, path, text string) {
	t.Helper()
	var body any = &map[string]any{}
	switch {
	case strings.HasSuffix(path, "/jobs"):
		body = &rest.JobRequest{}
	case strings.Contains(path, "/recurring/") && strings.HasPrefix(path, "/api/workspaces/"):
		body = &rest.RecurringJobRequest{}
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		t.Errorf("%s: %s: %v", page, text, err)
	}
}
