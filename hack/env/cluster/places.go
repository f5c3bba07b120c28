//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ownFolders are folders that the kubelet and the CNI library have fixed. Each cluster has its
// own: its processes see the host's files with these mounted over them, so they meet neither
// another cluster nor another kubelet, and leave nothing behind.
var ownFolders = []string{
	"/var/lib/kubelet",    // sockets of device plugins
	"/var/lib/cni",        // results of CNI plugins
	"/var/log/containers", // links to logs
	"/run/mount",          // notes of mount(8)
}

// ownSettings are kernel settings that the kubelet insists on (its setupKernelTunables).
// It sees the values that it wants; the machine's stay as they are.
var ownSettings = map[string]string{
	"/proc/sys/vm/overcommit_memory":      "1",
	"/proc/sys/vm/panic_on_oom":           "0",
	"/proc/sys/kernel/panic":              "10",
	"/proc/sys/kernel/panic_on_oops":      "1",
	"/proc/sys/kernel/keys/root_maxkeys":  "1000000",
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// makePlaces makes what startInside mounts, and shares mounts under the cluster's own
// folders between its processes: each sees what another mounts there, as does `down`.
func (c cluster) makePlaces() error {
	for _, folder := range ownFolders {
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.MkdirAll(c.own(folder), 0o755)); err != nil {
			return err
		}
	}
	for setting, value := range ownSettings {
		if err := os.MkdirAll(filepath.Dir(c.own(setting)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(c.own(setting), []byte(value+"\n"), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(shareMounts(c.state()), shareMounts(c.run()))
}

func (c cluster) own(place string) string { return c.state("own", place) }

// shareMounts makes a folder a mount of its own whose inner mounts are seen wherever it is.
func shareMounts(folder string) error {
	mounts, err := mountPoints(folder)
	if err != nil {
		return err
	}
	if len(mounts) > 0 && mounts[0].path == folder {
		return nil
	}
	if err := unix.Mount(folder, folder, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", folder, err)
	}
	// Private first: a mount that is only made shared still shares with the mount it was made from.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", folder, "", propagation, ""); err != nil {
			return fmt.Errorf("share the mounts under %s: %w", folder, err)
		}
	}
	return nil
}

// startInside starts a process in the cluster's network namespace, with the cluster's
// own places mounted over the host's.
func (c cluster) startInside(p process) (id pid, err error) {
	err = inNamespace(c.netns(), func() error {
		// Only a thread with a root and a current folder of its own can leave the mount namespace.
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("make a mount namespace: %w", err)
		}
		if err := c.mountPlaces(); err != nil {
			return err
		}
		id, err = start(p)
		return err
	})
	return id, err
}

func (c cluster) mountPlaces() error {
	mounts, err := mountPoints("/")
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.path != c.state() && m.path != c.run() && !strings.HasPrefix(m.path, c.state()+"/") && !strings.HasPrefix(m.path, c.run()+"/") {
			// This fails only for what another mount hides.
			_ = unix.Mount("", m.path, "", unix.MS_PRIVATE, "")
		}
	}
	places := append([]string{}, ownFolders...)
	for setting := range ownSettings {
		if exists(setting) {
			places = append(places, setting)
		}
	}
	for _, place := range places {
		if err := unix.Mount(c.own(place), place, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount the cluster's own %s: %w", place, err)
		}
	}
	return nil
}
