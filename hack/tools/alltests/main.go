// Command alltests runs tests and proves that none was left out.
//
//	alltests run RECORD FOLDER ARGS...   go -C FOLDER test -json ARGS, noted in the file RECORD
//	alltests count RECORD                fails unless each test in the source has passed
//
// run shows what go test shows without -json: a line for each package, and the output of
// what failed. count compares the record with all *_test.go files below the current folder,
// so it doesn't matter why a test has not passed: it was skipped, its TestMain exited without
// running it, its module was not tested, or a build constraint hid its file.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "alltests: %v\n", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "run":
		return run(args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "count":
		return count(os.Stdout, ".", args[1])
	}
	return errors.New("usage: alltests run RECORD FOLDER ARGS... | alltests count RECORD")
}
