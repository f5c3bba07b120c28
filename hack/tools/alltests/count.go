package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// count fails, and names them, if tests of the source below root have not passed.
func count(to io.Writer, root, record string) error {
	results, err := readRecord(record)
	if err != nil {
		return err
	}
	tests, err := testsOf(root)
	if err != nil {
		return err
	}
	var missing []string
	packages := map[string]bool{}
	for _, test := range tests {
		packages[test.pkg] = true
		if !results[result{passed, test.pkg, test.name}] {
			missing = append(missing, fmt.Sprintf("%s.%s has not passed", test.pkg, test.name))
		}
	}
	for r := range results {
		switch r.how {
		case skipped:
			missing = append(missing, fmt.Sprintf("%s.%s was skipped", r.pkg, r.test))
		case chosen:
			fmt.Fprintf(to, "tests are not counted: %s leaves some out\n", r.pkg)
			return nil
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%d of %d tests were left out or failed:\n  %s", len(missing), len(tests), strings.Join(missing, "\n  "))
	}
	fmt.Fprintf(to, "all %d tests of %d packages have passed; none was left out\n", len(tests), len(packages))
	return nil
}

// result says how a test has ended.
type result struct{ how, pkg, test string }

func readRecord(file string) (map[result]bool, error) {
	record, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer record.Close()
	results := map[result]bool{}
	lines := bufio.NewScanner(record)
	for lines.Scan() {
		if fields := strings.SplitN(lines.Text(), "\t", 3); len(fields) == 3 {
			results[result{fields[0], fields[1], fields[2]}] = true
		}
	}
	return results, lines.Err()
}

// test is a test, fuzz target or example that `go test` runs.
type test struct{ pkg, name string }

// testsOf reads the tests in all files below root, of whatever module and build constraint.
func testsOf(root string) ([]test, error) {
	var all []test
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := file != root && strings.HasPrefix(name, ".")
			if hidden || strings.HasPrefix(name, "_") || name == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg, err := importPath(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		names, err := testsIn(file)
		for _, name := range names {
			all = append(all, test{pkg, name})
		}
		return err
	})
	return all, err
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

// importPath returns a folder's import path by the go.mod that is nearest to it.
func importPath(root, folder string) (string, error) {
	for at := folder; ; at = filepath.Dir(at) {
		text, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil {
			found := moduleLine.FindSubmatch(text)
			if found == nil {
				return "", fmt.Errorf("%s/go.mod names no module", at)
			}
			below, err := filepath.Rel(at, folder)
			return path.Join(string(found[1]), filepath.ToSlash(below)), err
		}
		if at == root || at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is in no module: %w", folder, err)
		}
	}
}

// After the prefix, a test's name has anything but a lower-case letter.
var testName = regexp.MustCompile(`^(Test|Fuzz)([^\p{Ll}]|$)`)

func testsIn(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if ok && function.Recv == nil && testName.MatchString(function.Name.Name) && function.Name.Name != "TestMain" {
			names = append(names, function.Name.Name)
		}
	}
	for _, example := range doc.Examples(parsed) {
		if example.Output != "" || example.EmptyOutput {
			names = append(names, "Example"+example.Name)
		}
	}
	return names, nil
}
