//go:build linux

// Command intruder is a runner image as an attacker would have it who took over a
// tenant's: a valid runner by the contract, whose handlers try what they may not and
// tell what happened. The end-to-end tests build it and run it in a workspace of their
// own; it is part of no other image.
//
// It connects only to what its arguments name, and nothing that it tries would do harm
// if it succeeded.
package main

import "github.com/openradius/workspace-jobs/runner"

func main() {
	runner.Main(
		runner.Handle("look", look),
		runner.Handle("reach", reach),
		runner.Handle("ask", ask),
		runner.Handle("listen", listen),
		runner.Handle("leave", leave),
	)
}
