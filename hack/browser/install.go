// Package browser opens the dashboard in a real browser, as its users do.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Chromium is the path of the browser. As root on Debian it is installed if it is missing.
func Chromium(ctx context.Context) (string, error) {
	if path, err := find(); err == nil {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", errors.New("there is no chromium: install Debian's package (it is installed by itself only for root on Debian)")
	}
	release, err := alone(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	install := []string{"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "chromium", "fonts-dejavu-core"}
	for _, args := range [][]string{install, {"update"}, install} {
		command := exec.CommandContext(ctx, apt, args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		output, err := command.CombinedOutput()
		if path, missing := find(); missing == nil {
			return path, nil
		}
		if err != nil && args[0] == "update" {
			return "", fmt.Errorf("apt-get update: %w: %s", err, output)
		}
	}
	return "", errors.New("apt-get install chromium has installed none")
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// alone waits until no other process of ours installs anything. Package postgres has the
// same lock.
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
			return nil, err
		}
		select {
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("another process installs packages: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
