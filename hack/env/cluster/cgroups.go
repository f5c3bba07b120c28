//go:build linux

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoots are the folders where cgroups are made: one for each controller with
// cgroup v1, /sys/fs/cgroup itself with v2.
func cgroupRoots() ([]string, error) {
	mounts, err := mountPoints("/sys/fs/cgroup")
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, m := range mounts {
		if m.kind == "cgroup" || m.kind == "cgroup2" {
			roots = append(roots, m.path)
		}
	}
	return roots, nil
}

// makeCgroups makes the cgroup above those of the cluster's pods, which the kubelet requires
// to exist.
func (c cluster) makeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return errors.New("no cgroups are mounted under /sys/fs/cgroup, and the kubelet needs them")
	}
	for _, root := range roots {
		passOnControllers(root)
		if err := os.MkdirAll(filepath.Join(root, c.cgroup()), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// passOnControllers lets the cgroups below root use its controllers, where that is a
// setting (v2). If one can't be passed on, the kubelet reports that it lacks it.
func passOnControllers(root string) {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0)
	}
}

// podProcesses lists every process in the cluster's cgroups: its containers.
func (c cluster) podProcesses() []pid {
	roots, err := cgroupRoots()
	if err != nil {
		return nil
	}
	var found []pid
	for _, root := range roots {
		for _, folder := range foldersBelow(filepath.Join(root, c.cgroup())) {
			found = append(found, pidsIn(filepath.Join(folder, "cgroup.procs"))...)
		}
	}
	return found
}

// removeCgroups removes the cluster's cgroups, which have to be empty, the inner ones first.
func (c cluster) removeCgroups() error {
	roots, err := cgroupRoots()
	if err != nil {
		return err
	}
	var problems []error
	for _, root := range roots {
		folders := foldersBelow(filepath.Join(root, c.cgroup()))
		for i := len(folders) - 1; i >= 0; i-- {
			if err := unix.Rmdir(folders[i]); err != nil && !errors.Is(err, unix.ENOENT) {
				problems = append(problems, &fs.PathError{Op: "rmdir", Path: folders[i], Err: err})
			}
		}
	}
	return errors.Join(problems...)
}

// foldersBelow lists a folder and all below it, the outer ones first.
func foldersBelow(top string) []string {
	var folders []string
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return nil // cgroups come and go while they are walked
	})
	return folders
}
