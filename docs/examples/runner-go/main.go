// Command runner-go is a runner with one handler. Use it as a starting point for your own.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

// closeArgs is decoded from the job's args. Unknown fields are refused.
type closeArgs struct {
	Idle string `json:"idle"`
}

// Validate is called before anything runs. Its error fails the job permanently.
func (a closeArgs) Validate() error {
	if _, err := time.ParseDuration(a.Idle); err != nil {
		return fmt.Errorf("idle must be a duration such as 2h, not %q", a.Idle)
	}
	return nil
}

func closeSessions(ctx context.Context, tx pgx.Tx, job *runner.Job[closeArgs]) error {
	idle, err := time.ParseDuration(job.Args.Idle)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx,
		`UPDATE radacct SET acctstoptime = $1 WHERE acctstoptime IS NULL AND acctupdatetime < $1`,
		job.StartedAt.Add(-idle))
	if err != nil {
		return err
	}
	job.Logger.Info("sessions closed", "sessions", tag.RowsAffected())
	return job.SetResult(map[string]int64{"closed": tag.RowsAffected()})
}

func main() {
	runner.Main(runner.HandleTx("close-sessions", closeSessions))
}
