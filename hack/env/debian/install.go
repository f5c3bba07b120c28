// Package debian installs the packages that tests and demonstrations need, where they run
// as root on Debian, and makes images of them for tests.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Install installs a package and others along with it, and keeps them from starting services.
func Install(ctx context.Context, name string, beside ...string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing: install Debian's package %q (it is installed automatically only for root on Debian)", name, name)
	}
	release, err := alone(ctx)
	if err != nil {
		return err
	}
	defer release()
	restore, err := forbidServices()
	if err != nil {
		return err
	}
	defer restore()
	attempt := func() error {
		args := append([]string{"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", name}, beside...)
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get install %s: %w: %s", name, err, lastLines(string(output)))
		}
		return nil
	}
	if attempt() == nil {
		return nil
	}
	if output, err := exec.CommandContext(ctx, apt, "update").CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get update: %w: %s", err, lastLines(string(output)))
	}
	return attempt()
}

// alone waits until no other test installs anything: tests of several packages run at the
// same time, and apt-get fails when it finds its lists locked.
func alone(ctx context.Context) (release func(), err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "workspace-jobs-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	release = func() { _ = lock.Close() }
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			release()
			return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		select {
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("another process installs packages: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// lockPause is how long to wait before a lock that another process holds is tried again.
const lockPause = 200 * time.Millisecond

// forbidServices keeps Debian's packages from starting what they install, and
// PostgreSQL's from making a cluster, until the returned function is called.
func forbidServices() (func(), error) {
	var made []string
	restore := func() {
		for _, path := range made {
			_ = os.Remove(path)
		}
	}
	for path, text := range map[string]string{
		"/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
		"/etc/postgresql-common/createcluster.d/workspace-jobs.conf": "create_main_cluster = false\n",
	} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return restore, err
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			return restore, err
		}
		made = append(made, path)
	}
	return restore, nil
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
