//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// status prints a line for each part. A part that does not run is an error.
func (c cluster) status(ctx context.Context) error {
	var problems []error
	client, err := newAdminClient(c.state("pki"))
	if err != nil {
		return fmt.Errorf("cluster %q is only half made: finish it with `cluster up --name %s`", c.name, c.name)
	}
	for _, part := range c.components(binaries{}, client, nil) {
		id, running := readPid(part.pidFile)
		state := fmt.Sprintf("runs, process %d", id.number)
		if !running {
			state = "does not run: its log is " + part.log
			problems = append(problems, errors.New(part.name+" does not run"))
		}
		fmt.Printf("%-24s %s\n", part.name, state)
	}
	state := "Ready"
	if err := c.nodeReady(ctx, client); err != nil {
		state = err.Error()
		problems = append(problems, err)
	}
	fmt.Printf("%-24s %s\n%-24s %s\n%-24s %s\n", "node "+c.nodeName(), state,
		"API server", c.controlPlane().server(), "host address", c.hostAddress())
	return errors.Join(problems...)
}

// load imports images into the cluster's containerd, where pods find them by name.
func load(ctx context.Context, name string, files []string) error {
	if len(files) == 0 {
		return errors.New("load: name the image files, which hack/env/image makes")
	}
	c, err := findUp(name)
	if err != nil {
		return err
	}
	bin, err := c.binaries()
	if err != nil {
		return err
	}
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		if _, err := c.ctr(ctx, bin, "images", "import", path); err != nil {
			return err
		}
		say("loaded %s", file)
	}
	return nil
}

// kubectl becomes kubectl with the cluster's kubeconfig, so that signals and its exit
// code are its own.
func kubectl(name string, args []string) error {
	c, err := findUp(name)
	if err != nil {
		return err
	}
	bin, err := c.binaries()
	if err != nil {
		return err
	}
	environment := append(os.Environ(), "KUBECONFIG="+c.kubeconfig(), "NO_PROXY="+os.Getenv("NO_PROXY")+","+c.nodeAddress())
	if err := unix.Exec(bin["kubectl"], append([]string{"kubectl"}, args...), environment); err != nil {
		return fmt.Errorf("%s: %w: repair it with `cluster up --name %s`", bin["kubectl"], err, c.name)
	}
	return nil
}

// binaries are those that the cluster was started with, so its kubectl is of its version
// and is found from any folder.
func (c cluster) binaries() (binaries, error) {
	text, err := os.ReadFile(c.state("binaries.json"))
	if err != nil {
		return nil, fmt.Errorf("cluster %q is only half made: finish it with `cluster up --name %s`", c.name, c.name)
	}
	bin := binaries{}
	return bin, json.Unmarshal(text, &bin)
}

func (c cluster) writeBinaries(bin binaries) error {
	text, err := json.MarshalIndent(bin, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.state("binaries.json"), text, 0o600)
}
