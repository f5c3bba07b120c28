package testenv

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// buildTime is more than it takes to build Kubernetes on a small machine.
const buildTime = 25 * time.Minute

// ClusterTool returns the path of hack/env/cluster's program: CLUSTER in the environment,
// or bin/cluster in the repository, which is built first if it is stale.
func ClusterTool(ctx context.Context) (string, error) {
	if tool := os.Getenv("CLUSTER"); tool != "" {
		return tool, nil
	}
	if runtime.GOOS != "linux" {
		return "", errors.New("it runs on Linux only; `make test-quick` runs the tests that need none")
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	tool := filepath.Join(root, "bin", "cluster")
	release, err := alone(filepath.Dir(tool))
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := os.Stat(tool); err != nil {
		fmt.Fprintln(os.Stderr, "testenv: building bin/cluster")
	}
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, "hack", "env", "cluster"), "-o", tool, ".")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, output)
	}
	return tool, nil
}

// alone waits until no other process builds into the folder: tests of several packages run
// at once. The kernel frees the lock of a process that dies.
func alone(folder string) (release func(), err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", folder, err), lock.Close())
	}
	return func() { _ = lock.Close() }, nil
}

// checkBuilt fails if the tests would end before Kubernetes is built, which happens once
// on a machine.
func checkBuilt(ctx context.Context, tool string) error {
	output, err := exec.CommandContext(ctx, tool, "build", "--check", "--control-plane").CombinedOutput()
	if limit := testTimeout(); err == nil || limit == 0 || limit >= buildTime {
		return nil // what is missing is built at the start
	}
	return fmt.Errorf("%s: run `make cluster-build` once, or these tests with -timeout=%s", output[:max(0, len(output)-1)], buildTime)
}

// testTimeout returns go test's -timeout, or 0 if there is none.
func testTimeout() time.Duration {
	if value := flag.Lookup("test.timeout"); value != nil {
		if getter, ok := value.Value.(flag.Getter); ok {
			if limit, ok := getter.Get().(time.Duration); ok {
				return limit
			}
		}
	}
	return 0
}
