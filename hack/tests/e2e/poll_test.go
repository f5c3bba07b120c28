package e2e

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// pollLimit is far longer than anything takes on a busy machine, so that a test fails only
// if something never happens.
const pollLimit = 4 * time.Minute

// eventually calls check until it returns nil. After pollLimit the test fails with the last
// error, which should say what was found instead.
func eventually(t *testing.T, what string, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, pollLimit, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s: %v", what, pollLimit, last)
	}
}
