// Package quick leaves out of `make test-quick` the tests that need more than Go. That run
// passes -short to go test; every other run, `make test` first of all, leaves out nothing.
package quick

import (
	"flag"
	"testing"
)

// LeaveOut skips the test in a quick run, and says what it needs: "a control plane",
// "PostgreSQL". In any other run it does nothing.
func LeaveOut(t testing.TB, needs string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("-short leaves it out: it needs %s", needs)
	}
}

// WithoutExamples reports whether this is a quick run, and leaves out the package's
// examples if it is: for a TestMain that starts what they need before the first test.
func WithoutExamples() bool {
	if !flag.Parsed() {
		flag.Parse()
	}
	if !testing.Short() {
		return false
	}
	if err := flag.Set("test.skip", "^Example"); err != nil {
		panic(err) // package testing no longer has this flag
	}
	return true
}

// Few returns how many of n random worlds a simulation visits: a tenth in a quick run.
func Few(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}
