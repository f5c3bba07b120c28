//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type mountPoint struct{ path, kind string }

// mountPoints lists what is mounted under a folder, in the order in which it was mounted.
func mountPoints(under string) ([]mountPoint, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(text), under), nil
}

// parseMounts reads lines of proc_pid_mountinfo(5): the mount point is the fifth field,
// the file system's type the first after a lone dash.
func parseMounts(mountinfo, under string) []mountPoint {
	var found []mountPoint
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, kinds := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kinds) == 0 {
			continue
		}
		path := unescapeMount(fields[4])
		if path == under || strings.HasPrefix(path, strings.TrimSuffix(under, "/")+"/") {
			found = append(found, mountPoint{path: path, kind: kinds[0]})
		}
	}
	return found
}

// unescapeMount undoes the kernel's \040 for a space and the like.
func unescapeMount(path string) string {
	for _, c := range " \t\n\\" {
		path = strings.ReplaceAll(path, fmt.Sprintf(`\%03o`, c), string(c))
	}
	return path
}

// unmountAll unmounts what is under a folder, the last mounted first.
func unmountAll(under string) error {
	mounts, err := mountPoints(under)
	if err != nil {
		return err
	}
	var problems []error
	for i := len(mounts) - 1; i >= 0; i-- {
		err := unix.Unmount(mounts[i].path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			problems = append(problems, &fs.PathError{Op: "unmount", Path: mounts[i].path, Err: err})
		}
	}
	return errors.Join(problems...)
}

// namespaceProcesses lists the processes in the cluster's network namespace,
// including those without a pid file: components whose pid file was lost, and containerd's shims.
func (c cluster) namespaceProcesses() []pid {
	var about unix.Stat_t
	if !isNamespace(c.netns()) || unix.Stat(c.netns(), &about) != nil {
		return nil
	}
	namespace := fmt.Sprintf("net:[%d]", about.Ino)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []pid
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if link, err := os.Readlink(filepath.Join("/proc", entry.Name(), "ns/net")); err == nil && link == namespace {
			found = append(found, newPid(number))
		}
	}
	return found
}

func newPid(number int) pid {
	started, _ := startTime(number)
	return pid{number: number, started: started}
}

func pidsIn(file string) []pid {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var found []pid
	for field := range strings.FieldsSeq(string(text)) {
		if number, err := strconv.Atoi(field); err == nil && number > 0 {
			found = append(found, newPid(number))
		}
	}
	return found
}
