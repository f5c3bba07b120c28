// Command manager is the operator: it runs the controllers of all kinds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openradius/workspace-jobs/controllers/job"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// memoryShare is how much of the container's memory limit the Go runtime may use: the limit
// also counts memory that the runtime does not know of.
const memoryShare = 0.8

// version is set at build time.
var version = "dev"

// options are the command's flags.
type options struct {
	leaderElect             bool
	leaderElectionNamespace string
	metricsAddress          string
	probeAddress            string
	limits                  job.Limits
	fence                   runnerjob.Fence
	logLevel                slog.Level
}

func main() {
	if len(os.Args) > 1 {
		if command := fenceCommands()[os.Args[1]]; command != nil {
			exit(command(ctrl.SetupSignalHandler(), os.Args[2:]))
		}
	}
	opts, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "manager: %v\n", err)
		os.Exit(2)
	}
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: opts.logLevel})
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	// The garbage collector works harder near the container's limit. Set logs its errors.
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithLogger(slog.New(handler)))
	if err := run(ctrl.SetupSignalHandler(), opts); err != nil {
		log.Error(err, "the operator failed")
		os.Exit(1)
	}
}

func parse(args []string, output io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		fmt.Fprintf(output, "manager %s: the operator of Workspace Jobs.\n\nIt finds the cluster through KUBECONFIG, or through the pod that it runs in.\n\nIts image has two more programs, each with its own --help: manager serve-canary and\nmanager wait-for-fence.\n\nFlags:\n", version)
		flags.PrintDefaults()
	}
	flags.BoolVar(&opts.leaderElect, "leader-elect", true, "work only while holding the leader's Lease, so that several replicas can run")
	flags.StringVar(&opts.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the leader's Lease (default: the pod's own)")
	flags.StringVar(&opts.fence.Namespace, "namespace", ownNamespace(), "the operator's own namespace, which has its Deployment and the canary (default: the pod's own)")
	flags.StringVar(&opts.metricsAddress, "metrics-bind-address", ":8080", "address of the Prometheus metrics; 0 turns them off")
	flags.StringVar(&opts.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	flags.DurationVar(&opts.limits.Parent, "parent-limit", time.Hour, "how long after its creation a continuation may wait for a parent that does not exist (at least 1m)")
	flags.DurationVar(&opts.limits.Pending, "pending-limit", 10*time.Minute, "how long an attempt's pod may take to start before the attempt fails (at least 30s)")
	flags.DurationVar(&opts.fence.Limit, "fence-limit", 30*time.Second, "how long a pod of a workspace with network.waitForFence may wait for its network fence (at least 5s, less than --pending-limit)")
	flags.TextVar(&opts.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("unexpected argument %q; see manager --help", flags.Arg(0))
	}
	if opts.limits.Pending < 30*time.Second {
		return opts, fmt.Errorf("--pending-limit is %s; it must be at least 30s, or slow nodes fail good jobs", opts.limits.Pending)
	}
	if opts.fence.Limit < 5*time.Second || opts.fence.Limit >= opts.limits.Pending {
		return opts, fmt.Errorf("--fence-limit is %s; it must be at least 5s, and less than --pending-limit", opts.fence.Limit)
	}
	if opts.limits.Parent < time.Minute {
		return opts, fmt.Errorf("--parent-limit is %s; it must be at least 1m, or a pipeline has no time to create the parents", opts.limits.Parent)
	}
	return opts, nil
}
