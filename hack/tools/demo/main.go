// Command demo shows two tenants' jobs on a real cluster against real databases.
//
//	go run ./hack/tools/demo up      what `make demo` runs: start everything, run the samples, show and check what they did
//	go run ./hack/tools/demo down    what `make demo-down` runs: remove all of it
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = "usage: demo up|down, in the root of the repository, after `make cluster-tool`"

// longest bounds a demo. The first one on a slow machine builds Kubernetes.
const longest = 2 * time.Hour

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New(usage)
	}
	if _, err := os.Stat(tool); err != nil {
		return fmt.Errorf("%w: %s", err, usage)
	}
	switch args[0] {
	case "up":
		return (&demo{started: time.Now()}).up(ctx)
	case "down":
		return down(ctx)
	}
	return errors.New(usage)
}
