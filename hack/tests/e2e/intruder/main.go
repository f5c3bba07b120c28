//go:build linux

// Command intruder is a runner image of an attacker who took over a tenant: a valid runner by
// the contract, whose handlers try what they may not do and return what happened. The
// end-to-end tests build it and run it in their own workspace. It is part of no other image.
//
// It connects only to the targets in its arguments, and nothing that it tries would do harm
// if it succeeded.
package main

import "github.com/openradius/workspace-jobs/runner"

func main() {
	runner.Main(
		runner.Handle("inspect", inspect),
		runner.Handle("reach", reach),
		runner.Handle("ask", ask),
		runner.Handle("listen", listen),
		runner.Handle("leave", leave),
	)
}
