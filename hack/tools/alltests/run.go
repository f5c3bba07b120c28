package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// These are the results in a record. Each is a line with the result, the package and the test.
const (
	passed  = "pass"
	skipped = "skip"
	// chosen marks a run that was to leave out tests.
	chosen = "chosen"
)

// run runs go test in a folder, and adds its results to the record.
func run(record, folder string, args []string) error {
	file, err := os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if flag := choosing(args); flag != "" {
		fmt.Fprintf(file, "%s\t%s\t\n", chosen, flag)
	}
	command := exec.Command("go", append([]string{"-C", folder, "test", "-json"}, args...)...)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	s := &shown{to: os.Stdout, record: file, verbose: slices.Contains(args, "-v"), output: map[string][]event{}, ended: map[string]string{}}
	readErr := s.read(output)
	if err := command.Wait(); err != nil {
		return fmt.Errorf("go test in %s: %w", folder, err)
	}
	return readErr
}

// choosing returns the argument that leaves tests out, if there is one.
func choosing(args []string) string {
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && slices.Contains([]string{"run", "skip", "short", "list"}, strings.TrimPrefix(name, "test.")) {
			return arg
		}
	}
	return ""
}

// shown turns events into what a person reads, and into the record.
type shown struct {
	to, record io.Writer
	verbose    bool
	// output holds what each package has printed, until it ends.
	output map[string][]event
	// ended holds how each test has ended, by package and name.
	ended map[string]string
}

func (s *shown) read(stream io.Reader) error {
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				s.take(e)
			} else {
				fmt.Fprint(s.to, line) // go's own words
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *shown) take(e event) {
	switch e.Action {
	case "output":
		if s.verbose {
			fmt.Fprint(s.to, e.Output)
			return
		}
		s.output[e.Package] = append(s.output[e.Package], e)
	case "build-output":
		fmt.Fprint(s.to, e.Output)
	case passed, "fail", skipped:
		if e.Test == "" {
			s.end(e)
			return
		}
		s.ended[e.Package+" "+e.Test] = e.Action
		if e.Action != "fail" {
			fmt.Fprintf(s.record, "%s\t%s\t%s\n", e.Action, e.Package, e.Test)
		}
	}
}

// end shows a package that has ended: its last line and, if it failed, all output that does
// not belong to a test that passed.
func (s *shown) end(e event) {
	said := s.output[e.Package]
	delete(s.output, e.Package)
	for i, each := range said {
		last := i == len(said)-1
		failed := e.Action == "fail" && s.ended[each.Package+" "+each.Test] != passed && !strings.HasPrefix(each.Output, "=== ")
		if last || failed {
			fmt.Fprint(s.to, each.Output)
		}
	}
}
