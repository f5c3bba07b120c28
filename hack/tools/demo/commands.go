package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

const tool = "bin/cluster"

// show runs a command, and shows it with what it prints.
func show(ctx context.Context, name string, args ...string) error {
	fmt.Printf("$ %s %s\n", name, strings.Join(args, " "))
	command := exec.CommandContext(ctx, name, args...)
	// The samples use the names that the Makefile gives images by default.
	command.Env = append(os.Environ(), "REGISTRY=localhost/workspace-jobs", "TAG=dev", "MAKEFLAGS=")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// kubectl shows a command of kubectl and what it prints.
func kubectl(ctx context.Context, args ...string) error {
	return show(ctx, tool, append([]string{"kubectl", "--name", "demo"}, args...)...)
}

// output returns the output of a command of the cluster tool, which is not shown.
func output(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, tool, args...)
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", tool, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(text)), nil
}
