package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// source is a module with a test, a fuzz target, two examples of which only one runs, and
// a module below it whose test a build constraint hides.
func source(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for file, text := range map[string]string{
		"go.mod": "module example.com/a\n",
		"b/b_test.go": "package b\n\nfunc TestMain(m *testing.M) {}\nfunc TestB(t *testing.T) {}\nfunc Testament() {}\nfunc FuzzB(f *testing.F) {}\n" +
			"func ExampleShown() {\n\t// Output: 1\n}\n\nfunc ExampleOnly() {}\n",
		"b/testdata/no_test.go": "package no\n\nfunc TestNo(t *testing.T) {}\n",
		"c/go.mod":              "module example.com/a/c\n",
		"c/c_test.go":           "//go:build never\n\npackage c\n\nfunc TestC(t *testing.T) {}\n",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCount(t *testing.T) {
	t.Parallel()
	const all = "pass\texample.com/a/b\tTestB\npass\texample.com/a/b\tFuzzB\npass\texample.com/a/b\tExampleShown\npass\texample.com/a/c\tTestC\n"
	for name, each := range map[string]struct{ record, said, err string }{
		"all":              {all, "all 4 tests of 2 packages", ""},
		"a module":         {strings.Replace(all, "pass\texample.com/a/c\tTestC\n", "", 1), "", "example.com/a/c.TestC has not passed"},
		"a test":           {strings.Replace(all, "pass\texample.com/a/b\tTestB\n", "", 1), "", "1 of 4 tests were left out or failed:\n  example.com/a/b.TestB has not passed"},
		"an example":       {strings.Replace(all, "ExampleShown", "Example", 1), "", "ExampleShown has not passed"},
		"a skipped part":   {all + "skip\texample.com/a/b\tTestB/part\n", "", "TestB/part was skipped"},
		"left out by -run": {"chosen\t-run=X\t\n", "not counted: -run=X", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := filepath.Join(t.TempDir(), "record")
			if err := os.WriteFile(record, []byte(each.record), 0o600); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			err := count(&said, source(t), record)
			if !strings.Contains(said.String(), each.said) || (err == nil) != (each.err == "") || err != nil && !strings.Contains(err.Error(), each.err) {
				t.Errorf("%q, %v", said.String(), err)
			}
		})
	}
}

func TestWhatIsShown(t *testing.T) {
	t.Parallel()
	var to, record strings.Builder
	s := &shown{to: &to, record: &record, output: map[string][]event{}, ended: map[string]string{}}
	err := s.read(strings.NewReader(`{"Action":"output","Package":"a","Test":"TestGood","Output":"quiet\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"loud\n"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"output","Package":"b","Test":"TestB","Output":"quiet\n"}
{"Action":"skip","Package":"b","Test":"TestB"}
{"Action":"output","Package":"b","Output":"ok  \tb\t0.1s\n"}
{"Action":"pass","Package":"b"}
go: a word of go's own
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "ok  \tb\t0.1s\ngo: a word of go's own\nloud\nFAIL\ta\t0.1s\n"; to.String() != want {
		t.Errorf("shown is\n%s", to.String())
	}
	if want := "pass\ta\tTestGood\nskip\tb\tTestB\n"; record.String() != want {
		t.Errorf("the record is\n%s", record.String())
	}
}

func TestChoosing(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-count=1 -timeout=30m -p=4": "", "-run TestX": "-run", "--test.skip=X": "--test.skip=X", "-short ./...": "-short", "./run": "",
	} {
		if got := choosing(strings.Fields(args)); got != want {
			t.Errorf("%s: %q", args, got)
		}
	}
}
