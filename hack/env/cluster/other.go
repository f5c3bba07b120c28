//go:build !linux

// Command cluster makes a real Kubernetes on this machine, which has to run Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: a Kubernetes of our own needs Linux: "+
		"use a cluster that you have, by `make deploy` with its kubeconfig")
	os.Exit(1)
}
