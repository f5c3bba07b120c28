package testenv

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// PollLimit is how long Eventually waits. It is far longer than anything takes on a
	// busy machine, so that only what never happens fails.
	PollLimit = 4 * time.Minute
	// pollInterval is how often it checks.
	pollInterval = 50 * time.Millisecond
)

// Eventually calls check until it returns nil. After [PollLimit] the test fails with the
// last error, which should say what was seen instead.
func Eventually(t testing.TB, what string, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, PollLimit, true, func(ctx context.Context) (bool, error) {
		err := check(ctx)
		// A request that the end of the time has cut off says nothing.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s: %v", what, PollLimit, last)
	}
}
