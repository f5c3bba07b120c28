//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/openradius/workspace-jobs/runner"
)

// view is what the process can see of itself and of the machine.
type view struct {
	User string `json:"user"`
	// Status has lines of /proc/self/status.
	Status map[string]string `json:"status"`
	// Secrets are the files where Kubernetes mounts tokens and the operator Secrets.
	Secrets     []string `json:"secrets"`
	Environment []string `json:"environment"`
	// Commands are the commands of all processes that it sees.
	Commands []string `json:"commands"`
	Devices  []string `json:"devices"`
	// Writable are the mounts and system files that it can write to.
	Writable []string `json:"writable"`
	// ReadOnly are the mounts that are read-only.
	ReadOnly []string `json:"readOnly"`
	// Disks are mounts of file systems of the machine's disks.
	Disks []string `json:"disks"`
	// Tried has what it asked the kernel for, and the answers.
	Tried  map[string]string `json:"tried"`
	Memory string            `json:"memory"`
}

func inspect(_ context.Context, job *runner.Job[struct{}]) error {
	seen := view{
		User:   fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		Status: status(), Secrets: secrets(), Commands: commands(), Devices: namesIn("/dev"),
		Tried: tryKernel(), Memory: memoryLimit(),
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		seen.Environment = append(seen.Environment, name)
	}
	for _, m := range mounts() {
		if m.readOnly {
			seen.ReadOnly = append(seen.ReadOnly, m.point)
		}
		if writable(m.point) {
			seen.Writable = append(seen.Writable, m.point)
		}
		if strings.HasPrefix(m.source, "/dev/") {
			seen.Disks = append(seen.Disks, m.point)
		}
	}
	for _, file := range []string{"/etc/passwd", "/etc/hosts", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/1/mem", "/sys/fs/cgroup"} {
		if writable(file) {
			seen.Writable = append(seen.Writable, file)
		}
	}
	return job.SetResult(seen)
}

func status() map[string]string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}

func secrets() []string {
	var found []string
	for _, root := range []string{"/var/run/secrets", "/run/secrets", "/var/run/workspace-jobs"} {
		_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

func namesIn(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func commands() []string {
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		found = append(found, strings.TrimSpace(string(text)))
	}
	return found
}

type mount struct {
	source, point string
	readOnly      bool
}

// mounts returns the mounts of the process, as in proc_pid_mounts(5).
func mounts() []mount {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return []mount{{point: err.Error()}}
	}
	var found []mount
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 {
			readOnly := slices.Contains(strings.Split(fields[3], ","), "ro")
			found = append(found, mount{source: fields[0], point: fields[1], readOnly: readOnly})
		}
	}
	return found
}

// writable reports whether a file can be opened for writing, or a file created in a folder.
// It writes nothing, and removes the file that it created.
func writable(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		file, err := os.CreateTemp(path, "intruder-")
		if err != nil {
			return false
		}
		return errors.Join(file.Close(), os.Remove(file.Name())) == nil
	}
	if info.Mode().Type()&fs.ModeDevice != 0 {
		return false
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	return file.Close() == nil
}

func tryKernel() map[string]string {
	_, _, module := syscall.Syscall(syscall.SYS_INIT_MODULE, 0, 0, 0)
	tried := map[string]string{}
	for what, err := range map[string]error{
		"mount":               syscall.Mount("none", "/tmp", "tmpfs", 0, ""),
		"chroot":              syscall.Chroot("/tmp"),
		"mknod":               syscall.Mknod("/tmp/disk", syscall.S_IFBLK|0o600, 0),
		"setuid":              syscall.Setuid(0),
		"user namespace":      newUser(),
		"network namespace":   syscall.Unshare(syscall.CLONE_NEWNET),
		"raw socket":          rawSocket(syscall.AF_INET, syscall.IPPROTO_ICMP),
		"packet socket":       rawSocket(syscall.AF_PACKET, 0),
		"kernel module":       module,
		"the kernel's memory": readMemory(),
	} {
		tried[what] = answer(err)
	}
	return tried
}

// answer returns the kernel's name for an error, or "done".
func answer(err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return "done"
	case !errors.As(err, &number):
		return err.Error()
	case number == 0:
		return "done"
	default:
		return number.Error()
	}
}

// newUser starts a child in a user namespace, where it would be root. A process with several
// threads can't change its own user namespace.
func newUser() error {
	child := exec.Command("/proc/self/exe", "--version")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	return child.Run()
}

func rawSocket(family, protocol int) error {
	socket, err := syscall.Socket(family, syscall.SOCK_RAW, protocol)
	if err == nil {
		err = syscall.Close(socket)
	}
	return err
}

// readMemory tries to read the machine's memory. If the file is masked, it is /dev/null.
func readMemory() error {
	file, err := os.Open("/proc/kcore")
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return err
	}
	return syscall.EACCES
}

// memoryLimit returns the memory limit of the control group, of version 1 or 2.
func memoryLimit() string {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return "unknown"
}
