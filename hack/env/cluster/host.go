//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

var errNoNode = errors.New("a node needs Linux and root: run this as root, " +
	"or use a cluster that you have, by `make deploy` with its kubeconfig")

func checkHost() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errNoNode
	}
	return nil
}

// tool is a program that the node needs, and the Debian package that holds it.
type tool struct {
	name, pkg string
	found     func() bool
}

func tools() []tool {
	inPath := func(name string) func() bool {
		return func() bool { _, err := exec.LookPath(name); return err == nil }
	}
	return []tool{
		{"runc", "runc", inPath("runc")},
		{"the CNI plugins", "containernetworking-plugins", func() bool { return cniPlugins() != "" }},
		{"iptables", "iptables", inPath("iptables")},
		{"ipset", "ipset", inPath("ipset")},
		{"ip", "iproute2", inPath("ip")},
	}
}

// cniPlugins is the folder of the plugins: Debian's, or where most others put it.
func cniPlugins() string {
	for _, folder := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if _, err := os.Stat(filepath.Join(folder, "bridge")); err == nil {
			return folder
		}
	}
	return ""
}

// installTools installs what the node needs and the machine lacks.
func installTools(ctx context.Context) error {
	var missing, packages []string
	for _, t := range tools() {
		if !t.found() {
			missing, packages = append(missing, t.name), append(packages, t.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: the node needs them", strings.Join(missing, ", "))
	}
	say("installing Debian packages: %s", strings.Join(packages, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
	if aptGet(ctx, install...) == nil {
		return nil
	}
	if err := aptGet(ctx, "update"); err != nil {
		return err
	}
	return aptGet(ctx, install...)
}

// aptGet runs apt-get, which waits while another process installs something.
func aptGet(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}
