package testenv

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// PollLimit is how long Eventually waits: far longer than anything takes on a busy
// machine, so that only what never comes fails.
const PollLimit = 3 * time.Minute

// Eventually calls check until it returns nil. After [PollLimit] the test fails
// with the last error, which should tell what was seen instead.
func Eventually(t testing.TB, what string, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s: %v", what, PollLimit, last)
	}
}
