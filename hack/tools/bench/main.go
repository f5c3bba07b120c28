// Command bench measures what the operator costs and how fast it is, next to bare
// Kubernetes in the same run. It prints numbers, and does not judge them.
//
//	make cluster-tool && go run ./hack/tools/bench --help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// command is one of the measurements. It declares its flags and returns a function to
// call once they are parsed.
type command struct {
	name, does string
	// longest bounds the measurement.
	longest time.Duration
	declare func(*flag.FlagSet) func(context.Context) error
}

func commands() []command {
	return []command{
		{"throughput", "jobs a second through the operator, and its writes for each, next to raw Jobs", 30 * time.Minute, throughputCommand},
		{"latency", "how much later than a WorkspaceJob its Job is created, at a steady rate", 15 * time.Minute, latencyCommand},
		{"minute", "recurring jobs that are due in the same minute, next to bare CronJobs", 30 * time.Minute, minuteCommand},
		{"idle", "what an idle operator does with much to watch", time.Hour, idleCommand},
		{"memory", "what workspaces, recurring jobs and finished jobs cost the operator in memory", 2 * time.Hour, memoryCommand},
		{"noisy", "how much later a tenant's jobs run while another tenant floods the operator", 45 * time.Minute, noisyCommand},
		{"sizes", "how much longer the API server takes to answer to a new job because of the policy on sizes", 15 * time.Minute, sizesCommand},
		{"pages", "how long the server's pages take with many jobs, and how much memory they and many streams need", 30 * time.Minute, pagesCommand},
		{"start", "how much later than a raw Job's process a handler starts, on a cluster of `make demo`", 15 * time.Minute, startCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	quiet := logr.FromSlogHandler(slog.DiscardHandler)
	log.SetLogger(quiet)
	klog.SetLogger(quiet)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		help()
		return nil
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
		measure := c.declare(flags)
		if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
			return nil
		} else if err != nil {
			return err
		}
		if flags.NArg() > 0 {
			return fmt.Errorf("%s: unknown argument %q: see bench --help", c.name, flags.Arg(0))
		}
		ctx, cancel := context.WithTimeoutCause(ctx, c.longest, fmt.Errorf("not done within %s", c.longest))
		defer cancel()
		return measure(ctx)
	}
	return fmt.Errorf("there is no measurement %q: see bench --help", args[0])
}

func help() {
	fmt.Print(`bench MEASUREMENT [FLAGS], in the repository, after make cluster-tool

All but start run a control plane on this machine, with a node on which nothing runs, and
the operator as a process of its own, and remove both at the end. They need no root.
Measure on a machine that does nothing else, and compare ratios, not seconds.
`)
	for _, c := range commands() {
		fmt.Printf("\n%s: %s\n", c.name, c.does)
		flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
		flags.SetOutput(os.Stdout)
		c.declare(flags)
		flags.PrintDefaults()
	}
}

// say prints progress, never a result.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
