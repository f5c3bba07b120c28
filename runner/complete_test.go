package runner_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/openradius/workspace-jobs/runner"
)

// TestBatchThatCompletesTheRun checks that a batch which completes the run has the last
// word: an interruption, or an error of the handler, comes too late.
func TestBatchThatCompletesTheRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// then is called once the batch has committed.
		then func(interrupt context.CancelFunc) error
	}{
		{"interrupted", func(interrupt context.CancelFunc) error { interrupt(); return nil }},
		{"interrupted and stopping", func(interrupt context.CancelFunc) error { interrupt(); return context.Canceled }},
		{"failing", func(context.CancelFunc) error { return errors.New("too late") }},
		{"succeeding", func(context.CancelFunc) error { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t, false)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			handler := runner.Handle("complete", func(ctx context.Context, job *runner.Job[noArgs]) error {
				if err := job.SetResult("before"); err != nil {
					return err
				}
				err := job.Tx(ctx, func(tx *runner.Tx) error {
					if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ('x', 0)`); err != nil {
						return err
					}
					return tx.Complete("completed")
				})
				return errors.Join(err, job.SetResult("after"), test.then(interrupt))
			})
			config := runner.Config{Handlers: []runner.Handler{handler}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
			description := runner.Description{
				JobID: jobID(1), Name: "job", Run: 1, Attempt: 1, Workspace: "acme", Queue: "workspace_acme", Handler: "complete", DatabaseURL: db.url,
			}
			for attempt := 1; attempt <= 2; attempt++ {
				description.Attempt = attempt
				outcome := runner.Run(ctx, config, description)
				if outcome.Kind != runner.Done || string(outcome.Result) != `"completed"` {
					t.Errorf("attempt %d: outcome %+v", attempt, outcome)
				}
				ctx = t.Context()
			}
			db.want(t, "1", `SELECT count(*)::text FROM effects`)
			db.want(t, "Succeeded", `SELECT string_agg(outcome, ' ' ORDER BY token) FROM hangfire.attempts`)
		})
	}
}
