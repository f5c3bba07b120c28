package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const (
	clusterName = "e2e"
	// startLimit is long enough to build the cluster first.
	startLimit = 30 * time.Minute
	// parallel is how many tests run at once. Most of them only wait, for pods to start and
	// leases to run out.
	parallel = "8"
)

// shared is the suite that all tests use. TestMain starts it.
var shared *suite

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if testing.Short() {
		fmt.Println("-short leaves out all tests of this package: they need a cluster with a node, a database and a browser")
		return 0
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return failed(errors.New("these tests start a Kubernetes with a node, which needs root on Linux"))
	}
	if !given("test.parallel") {
		if err := flag.Set("test.parallel", parallel); err != nil {
			return failed(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	begin := time.Now()
	var err error
	shared, err = startSuite(ctx)
	stop()
	code := 0
	if err == nil {
		fmt.Printf("e2e: cluster, database and operator are up after %s\n", time.Since(begin).Round(time.Second))
		code = m.Run()
		err = shared.checkOperatorLog(context.Background())
		// Only all tests together use all rights.
		if err == nil && code == 0 && !given("test.run") && !given("test.skip") {
			err = shared.checkOperatorRights(context.Background())
		}
	}
	if err != nil {
		code = failed(err)
	}
	if err := shared.stop(context.Background()); err != nil {
		code = failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
	return 1
}

// given reports whether a flag is on the command line.
func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
