// Command demo shows two tenants' jobs on a real cluster against real databases.
//
//	go run ./hack/tools/demo up      as `make demo` does: build, start, run the samples, show, check
//	go run ./hack/tools/demo down    as `make demo-down` does: remove all of it
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = "usage: demo up|down, in the root of the repository, after `make cluster-tool`"

// longest bounds a demo, even the first one on a slow machine, which builds Kubernetes.
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
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	d := &demo{root: root, out: os.Stdout, started: time.Now()}
	if _, err := os.Stat(d.clusterTool()); err != nil {
		return fmt.Errorf("%w: %s", err, usage)
	}
	switch args[0] {
	case "up":
		return d.up(ctx)
	case "down":
		return d.down(ctx)
	default:
		return errors.New(usage)
	}
}

// clusterTool is the path of the cluster tool.
func (d *demo) clusterTool() string { return filepath.Join(d.root, "bin", "cluster") }
