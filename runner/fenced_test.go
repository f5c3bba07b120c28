package runner_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

// overtake does what another runner would after the lease ran out: take the run's
// lease and give it back.
func (db testDB) overtake(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `UPDATE hangfire.runs SET token = token + 1, state = 'Scheduled', lease_expires_at = NULL`)
	return err
}

// TestOvertakenBeforeCommit checks a run that is overtaken between its last statement
// and the commit, before a heartbeat could notice: it does not commit, and starts over.
func TestOvertakenBeforeCommit(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Handle", "HandleTx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDB(t, false)
			calls := 0
			work := func(ctx context.Context, tx pgx.Tx) error {
				calls++
				if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ('x', 0)`); err != nil || calls > 1 {
					return err
				}
				return db.overtake(ctx)
			}
			handler := runner.HandleTx("HandleTx", func(ctx context.Context, tx pgx.Tx, _ *runner.Job[noArgs]) error {
				return work(ctx, tx)
			})
			if name == "Handle" {
				handler = runner.Handle("Handle", func(ctx context.Context, job *runner.Job[noArgs]) error {
					return job.Tx(ctx, func(tx *runner.Tx) error { return work(ctx, tx) })
				})
			}
			outcome := runner.Run(t.Context(), runner.Config{
				Handlers: []runner.Handler{handler}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			}, runner.Description{
				JobID: jobID(1), Name: "job", Run: 1, Attempt: 1, Workspace: "acme", Queue: "workspace_acme", Handler: name, DatabaseURL: db.url,
			})
			if outcome.Kind != runner.Done || calls != 2 {
				t.Errorf("outcome %+v after %d calls", outcome, calls)
			}
			db.want(t, "1", `SELECT count(*)::text FROM effects`)
			db.want(t, "Lost Succeeded", `SELECT string_agg(outcome, ' ' ORDER BY token) FROM hangfire.attempts`)
		})
	}
}
