//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// The cluster lives in a network namespace of its own, with one cable (a veth pair) to
// the host. So it shares no firewall rules, bridges and ports, two clusters
// never meet, and removing the namespace removes them all.

// makeNetwork makes the namespace and the cable. What exists already stays.
func (c cluster) makeNetwork(ctx context.Context) error {
	if !isNamespace(c.netns()) {
		if err := makeNamespace(c.netns()); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
	}
	if err := inNamespace(c.netns(), func() error { return setUpNode(ctx) }); err != nil {
		return fmt.Errorf("set up the node's network: %w", err)
	}
	if c.hasCable() {
		return nil
	}
	_ = ip(ctx, "link", "delete", c.hostDevice()) // of a namespace that a reboot or a crash removed
	if err := c.layCable(ctx); err != nil {
		return fmt.Errorf("connect the cluster to the host: %w", err)
	}
	return nil
}

func (c cluster) hasCable() bool {
	if _, err := os.Stat(filepath.Join("/sys/class/net", c.hostDevice())); err != nil {
		return false
	}
	return inNamespace(c.netns(), func() error {
		return exec.Command("ip", "address", "show", "dev", "node0", "to", c.nodeAddress()+"/24").Run()
	}) == nil
}

func (c cluster) layCable(ctx context.Context) error {
	err := ip(ctx, "link", "add", c.hostDevice(), "type", "veth", "peer", "name", "node0", "netns", c.netns())
	if err != nil {
		return err
	}
	if err := ip(ctx, "address", "add", c.hostAddress()+"/24", "dev", c.hostDevice()); err != nil {
		return err
	}
	if err := ip(ctx, "link", "set", c.hostDevice(), "up"); err != nil {
		return err
	}
	return inNamespace(c.netns(), func() error {
		if err := ip(ctx, "address", "add", c.nodeAddress()+"/24", "dev", "node0"); err != nil {
			return err
		}
		return ip(ctx, "link", "set", "node0", "up")
	})
}

// setUpNode runs inside the namespace, where these settings are its own.
func setUpNode(ctx context.Context) error {
	if err := ip(ctx, "link", "set", "lo", "up"); err != nil {
		return err
	}
	settings := map[string]string{
		"ip_forward":     "1",
		"icmp_ratelimit": "0", // so that each connection that a NetworkPolicy forbids is refused at once, not one a second
	}
	for setting, value := range settings {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+setting, []byte(value), 0); err != nil {
			return err
		}
	}
	// Lets kube-proxy see what pods send each other over the bridge. A kernel without
	// bridge netfilter has no such file and then pods of one node lack only that.
	err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ip(ctx context.Context, args ...string) error {
	output, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// makeNamespace makes a network namespace that a file keeps, as ip-netns(8) does, but
// without its folder, which would stay a mount forever.
func makeNamespace(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return onThreadOfItsOwn(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	})
}

func isNamespace(path string) bool {
	var about unix.Statfs_t
	return unix.Statfs(path, &about) == nil && about.Type == unix.NSFS_MAGIC
}

// inNamespace calls do with its thread in the network namespace: what do starts is in it too.
func inNamespace(path string, do func() error) error {
	return onThreadOfItsOwn(func() error {
		file, err := os.Open(filepath.Clean(path))
		if err != nil {
			return err
		}
		defer closeQuietly(file)
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter %s: %w", path, err)
		}
		return do()
	})
}

// onThreadOfItsOwn never returns the thread: the runtime ends it with the goroutine,
// so nobody else runs in its namespace.
func onThreadOfItsOwn(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- do()
	}()
	return <-result
}
