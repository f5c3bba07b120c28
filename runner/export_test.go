package runner

import (
	"os"
	"time"

	"github.com/openradius/workspace-jobs/runner/ledger"
)

// MainWith is Main with a lease and a grace that a test can wait for.
func MainWith(timing ledger.Timing, grace time.Duration, handlers ...Handler) {
	p := process{
		started: time.Now(), args: os.Args[1:], getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr,
		handlers: handlers, timing: timing, grace: grace,
	}
	os.Exit(p.main())
}
