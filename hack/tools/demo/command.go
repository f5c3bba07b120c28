package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// title starts a part of the demo.
func (d *demo) title(format string, args ...any) {
	fmt.Fprintf(d.out, "\n== %s (%s)\n", fmt.Sprintf(format, args...), time.Since(d.started).Round(time.Second))
}

// say prints a line that stands out from what commands print.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "   "+format+"\n", args...)
}

// show prints a command and runs it, with its output visible.
func (d *demo) show(ctx context.Context, name string, args ...string) error {
	fmt.Fprintf(d.out, "$ %s %s\n", name, strings.Join(quoted(args), " "))
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = d.root
	// The samples use the Makefile's default names of the images.
	command.Env = append(os.Environ(), "REGISTRY=localhost/workspace-jobs", "TAG=dev", "MAKEFLAGS=")
	command.Stdout, command.Stderr = d.out, d.out
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// quiet runs a command and returns its output without showing it.
func (d *demo) quiet(ctx context.Context, stdin, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = d.root
	command.Stdin = strings.NewReader(stdin)
	var failure bytes.Buffer
	command.Stderr = &failure
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(failure.String()))
	}
	return strings.TrimSpace(string(output)), nil
}

const tool = "bin/cluster"

// kubectlArgs returns the command line of the cluster's kubectl with these arguments.
func kubectlArgs(args ...string) []string {
	return append([]string{"kubectl", "--name", clusterName}, args...)
}

// kubectl shows a kubectl command and its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	return d.show(ctx, tool, kubectlArgs(args...)...)
}

func quoted(args []string) []string {
	all := make([]string, 0, len(args))
	for _, arg := range args {
		if strings.ContainsAny(arg, " \"'$*\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		all = append(all, arg)
	}
	return all
}
