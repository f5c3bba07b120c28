//go:build linux

// Command cluster makes a real Kubernetes on this machine, from source modules.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

const usage = `A real Kubernetes on this machine, built from its source modules.

  cluster up   [--name NAME]       make the cluster, or repair it; does nothing if it is complete
  cluster down [--name NAME]       remove it: processes, containers, mounts, network, files
  cluster status [--name NAME]     each part, and the node; fails if one does not run
  cluster kubeconfig [--name NAME] print the path of its kubeconfig
  cluster host-address [--name NAME]  print the host's address that pods can reach
  cluster audit-log [--name NAME]  print the path of the API server's audit log
  cluster load [--name NAME] FILE.tar...   import images, which hack/env/image makes
  cluster kubectl [--name NAME] ARGS...    kubectl with its kubeconfig
  cluster build [--check] [--control-plane]
                                   only build what is run, into the cache; with --check, build
                                   nothing, but fail and name what is not built yet
  cluster run --control-plane [--controller-manager] [--dir DIR]
                                   etcd and an API server in the foreground, for tests, without
                                   root; prints ETCD=URL and KUBECONFIG=PATH when ready; ends, and
                                   removes DIR, at the end of its input or on SIGTERM

NAME is "dev" unless given; clusters of different names run side by side. All but build
and run need root on Linux. WORKSPACE_JOBS_CACHE is the folder for what is built, instead of
workspace-jobs in the user's cache folder.
`

func main() {
	// The kernel kills the children of run when the thread that started them ends, and
	// the main thread ends last.
	runtime.LockOSThread()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

// say prints progress for a person who is waiting. A command's own output goes elsewhere.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", args...)
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Print(usage)
		return nil
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "build":
		return buildCommand(ctx, args)
	case "run":
		return runCommand(ctx, args)
	case "kubectl":
		name, rest := leadingName(args)
		return kubectl(name, rest)
	case "up", "down", "status", "kubeconfig", "host-address", "audit-log", "load":
		return namedCommand(ctx, verb, args)
	}
	return fmt.Errorf("there is no command %q: see cluster --help", verb)
}

func namedCommand(ctx context.Context, verb string, args []string) error {
	flags := newFlags(verb)
	name := flags.String("name", defaultName, "")
	if err := flags.Parse(args); err != nil {
		return helped(err)
	}
	if verb != "load" && flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected %q: see cluster --help", verb, flags.Arg(0))
	}
	switch verb {
	case "up":
		return up(ctx, *name)
	case "down":
		return down(ctx, *name)
	case "load":
		return load(ctx, *name, flags.Args())
	}
	c, err := findUp(*name)
	if err != nil {
		return err
	}
	switch verb {
	case "kubeconfig":
		fmt.Println(c.kubeconfig())
	case "host-address":
		fmt.Println(c.hostAddress())
	case "audit-log":
		fmt.Println(c.auditLog())
	case "status":
		return c.status(ctx)
	}
	return nil
}

func buildCommand(ctx context.Context, args []string) error {
	flags := newFlags("build")
	controlPlane := flags.Bool("control-plane", false, "")
	check := flags.Bool("check", false, "")
	if err := flags.Parse(args); err != nil {
		return helped(err)
	}
	purpose := realNode
	if *controlPlane {
		purpose = noNode
	}
	if *check {
		return checkBuilt(ctx, purpose)
	}
	bin, err := build(ctx, purpose)
	if err != nil || purpose != realNode {
		return err
	}
	_, err = buildImages(ctx, bin)
	return err
}

func runCommand(ctx context.Context, args []string) error {
	flags := newFlags("run")
	plane := flags.Bool("control-plane", false, "")
	options := runOptions{}
	flags.BoolVar(&options.controllerManager, "controller-manager", false, "")
	flags.StringVar(&options.folder, "dir", "", "")
	if err := flags.Parse(args); err != nil {
		return helped(err)
	}
	if !*plane {
		return errors.New("run needs --control-plane: `cluster up` makes a cluster with a node")
	}
	return run(untilEOF(ctx, os.Stdin), options, func(plane controlPlane, kubeconfig string) {
		fmt.Printf("ETCD=%s\nKUBECONFIG=%s\n", plane.etcdURL(), kubeconfig)
	})
}

func newFlags(verb string) *flag.FlagSet {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	return flags
}

// helped returns nil if the error is a request for help, which has been answered.
func helped(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// leadingName takes this program's --name from the front; kubectl has a flag of that name too.
func leadingName(args []string) (name string, rest []string) {
	switch {
	case len(args) >= 2 && args[0] == "--name":
		return args[1], args[2:]
	case len(args) >= 1 && strings.HasPrefix(args[0], "--name="):
		return strings.TrimPrefix(args[0], "--name="), args[1:]
	}
	return defaultName, args
}
