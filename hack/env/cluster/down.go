//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stopOrder begins with what would start containers again, and ends with what the others
// write to.
var stopOrder = []string{
	"kubelet", "kube-router", "kube-proxy", "kube-scheduler", "kube-controller-manager", "containerd", "kube-apiserver", "etcd",
}

// down removes all of a cluster, in whatever state it is: half made, killed, or from
// before a reboot. Nothing that it holds is kept, so nothing gets time to end by itself.
func down(ctx context.Context, name string) error {
	if err := errors.Join(checkHost(), checkName(name)); err != nil {
		return err
	}
	unlock, err := lock(ctx, stateRoot, "changes a cluster")
	if err != nil {
		return err
	}
	defer unlock()
	defer removeEmptyRoots()
	c, err := find(name)
	if err != nil {
		c = cluster{name: name, slot: -1} // not even its slot is known: remove what is known by its name
	}
	if !exists(c.state()) && !exists(c.run()) {
		say("there is no cluster %q", name)
		return nil
	}
	for _, part := range stopOrder {
		if id, running := readPid(c.run(part + ".pid")); running {
			id.stop(0)
		}
	}
	c.killTheRest()
	if c.slot >= 0 && exists(filepath.Join("/sys/class/net", c.hostDevice())) {
		err = ip(ctx, "link", "delete", c.hostDevice())
	} else {
		err = nil
	}
	err = errors.Join(err, c.removeCgroups(), unmountAll(c.state()), unmountAll(c.run()))
	if err != nil {
		return err // the folder stays, so that `down` can be tried again
	}
	if err := errors.Join(os.RemoveAll(c.run()), os.RemoveAll(c.state())); err != nil {
		return err
	}
	say("cluster %q is gone", name)
	return nil
}

// killTheRest ends the containers and all that is left in the cluster's network namespace. It
// repeats this until nothing is left, since what ends last may have started more.
func (c cluster) killTheRest() {
	for range 10 {
		left := append(c.namespaceProcesses(), c.podProcesses()...)
		if len(left) == 0 {
			return
		}
		for _, id := range left {
			_ = unix.Kill(id.number, unix.SIGKILL)
		}
		for _, id := range left {
			id.stop(0)
		}
	}
}

// removeEmptyRoots removes the folders that clusters share when the last one is gone:
// with another one up, that would take away what it has mounted there.
func removeEmptyRoots() {
	_ = unix.Rmdir(runRoot)
	if unix.Rmdir(stateRoot) != nil {
		return
	}
	for _, folder := range ownFolders {
		_ = unix.Rmdir(folder) // fails if it is not empty, and so belongs to another cluster
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
