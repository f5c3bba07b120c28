// Package ledger is a workspace's record of its runs, in a schema of the workspace's
// own database: which run holds the lease, how each attempt ended, how far a run has
// come, and what has succeeded and must not happen again.
//
// A run's lease is a row that expires by the server's clock and is renewed by a
// heartbeat. Each time the lease is acquired, its token grows. Each transaction of a
// runner checks, before it commits, that the runner's token is still the newest. So a
// runner that was overtaken while it was frozen, cut off or slow can no longer commit.
//
// Nothing here needs a session: there are no session locks, no settings that outlive
// a transaction and no named prepared statements. It works through PgBouncer in
// transaction mode.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DefaultSchema is the ledger's schema unless the Workspace names another.
const DefaultSchema = "hangfire"

// ErrLost is returned when a run's lease was lost: it ran out and another runner
// acquired it, or the database could not be reached before it ran out.
var ErrLost = errors.New("the lease was lost to another runner")

// ErrNotMigrated is returned when the database has no ledger, or an older one than
// this runner needs.
var ErrNotMigrated = errors.New("the ledger does not exist or is out of date: run the command \"migrate\" first")

// ErrNewer is returned when the ledger was migrated by a newer runner than this one.
var ErrNewer = errors.New("the ledger was migrated by a newer runner: update the Workspace's runner image")

// Timing is the timing of leases. The zero value means the defaults.
type Timing struct {
	// Lease is how long a lease lasts without a heartbeat. Default: 30 s.
	Lease time.Duration
	// Heartbeat is the time between two heartbeats, well below Lease. Default: a
	// third of Lease.
	Heartbeat time.Duration
	// Poll is how often a runner checks whether a lease that it waits for is free.
	// Default: a tenth of Lease, at most 1 s.
	Poll time.Duration
}

func (t Timing) withDefaults() Timing {
	if t.Lease == 0 {
		t.Lease = 30 * time.Second
	}
	if t.Heartbeat == 0 {
		t.Heartbeat = t.Lease / 3
	}
	if t.Poll == 0 {
		t.Poll = min(time.Second, t.Lease/10)
	}
	return t
}

// Ledger is one schema of one database.
type Ledger struct {
	pool    *pgxpool.Pool
	queries queries
	timing  Timing
	log     *slog.Logger
}

// New returns the ledger in a schema, without connecting to the database. Heartbeats
// need a connection at any time, so the pool should not be shared with handlers.
func New(pool *pgxpool.Pool, schema string, timing Timing, log *slog.Logger) (*Ledger, error) {
	loaded, err := loadQueries(schema)
	if err != nil {
		return nil, err
	}
	return &Ledger{pool: pool, queries: loaded, timing: timing.withDefaults(), log: log}, nil
}

// Claim is a run that a process wants to work on.
type Claim struct {
	// JobID is a UUID.
	JobID string
	// Run and Attempt are at least 1.
	Run, Attempt                    int
	Name, Workspace, Queue, Handler string
	// Args is a JSON object.
	Args string
}

// ClaimResult is the answer to a claim: the lease, or the result of a run that has
// succeeded before.
type ClaimResult struct {
	Lease *Lease
	// Done says that the run has succeeded. Result is its result, or "".
	Done   bool
	Result string
}

// SupersededError is returned when a newer run of the same job has begun, which ends
// this one.
type SupersededError struct{ Newer int }

func (e *SupersededError) Error() string {
	return fmt.Sprintf("run %d of this job has begun: this older run is over", e.Newer)
}

// Acquire waits until the run's lease is free and acquires it, or returns the run's
// result if the run has succeeded. It waits while another runner holds the lease of the
// run, or of an older run of the job, until ctx ends. It returns [ErrNotMigrated],
// [ErrNewer], [*SupersededError], ctx's cause, or an error of the database.
func (l *Ledger) Acquire(ctx context.Context, claim Claim) (ClaimResult, error) {
	if err := l.checkVersion(ctx); err != nil {
		return ClaimResult{}, err
	}
	waiting, overtaking := false, false
	for {
		runs, err := l.listRuns(ctx, l.pool, claim)
		if err != nil {
			return ClaimResult{}, err
		}
		next, err := decide(claim.Run, runs)
		if err != nil || next.done {
			return ClaimResult{Done: next.done, Result: next.result}, err
		}
		if next.wait == 0 {
			if next.takeover {
				if !overtaking {
					overtaking = true
					l.log.Warn("taking over a run whose lease ran out")
				}
				l.endSessions(ctx, claim.JobID, claim.Run, next.newestToken+1)
			}
			lease, err := l.tryAcquire(ctx, claim)
			if lease != nil || err != nil {
				return ClaimResult{Lease: lease}, err
			}
			continue
		}
		if !waiting {
			waiting = true
			l.log.Info("waiting: another runner works on this job", "leaseLeft", next.wait.String())
		}
		if err := sleep(ctx, min(next.wait, l.timing.Poll)); err != nil {
			return ClaimResult{}, err
		}
	}
}

func (l *Ledger) checkVersion(ctx context.Context) error {
	var version int64
	err := l.pool.QueryRow(ctx, l.queries.version).Scan(&version)
	if code := sqlState(err); code == undefinedTable || code == invalidSchema {
		return ErrNotMigrated
	}
	switch {
	case err != nil:
		return err
	case version < l.queries.newest:
		return ErrNotMigrated
	case version > l.queries.newest:
		return ErrNewer
	}
	return nil
}

// tryAcquire acquires the lease in one transaction. It returns nil without an error if
// the rows have changed since they were read, or a frozen runner has locked them.
func (l *Ledger) tryAcquire(ctx context.Context, claim Claim) (*Lease, error) {
	var lease *Lease
	err := pgx.BeginTxFunc(ctx, l.pool, txOptions(), func(tx pgx.Tx) error {
		var err error
		lease, err = l.acquireIn(ctx, tx, claim)
		return err
	})
	if code := sqlState(err); code == lockNotAvailable || code == deadlockDetected {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if lease != nil && lease.hasPredecessors() {
		// Again, since a runner that woke just before may have begun a transaction.
		l.endSessions(ctx, claim.JobID, claim.Run, lease.token)
	}
	return lease, nil
}

func (l *Ledger) acquireIn(ctx context.Context, tx pgx.Tx, claim Claim) (*Lease, error) {
	started := time.Now()
	q := l.queries
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{q.lockTimeout, []any{lockTimeout(l.timing)}},
		{q.addJob, []any{claim.JobID, claim.Name, claim.Workspace, claim.Queue, claim.Handler, claim.Args}},
		{q.lockJob, []any{claim.JobID}},
		{q.lockRuns, []any{claim.JobID, claim.Run}},
	} {
		if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
			return nil, err
		}
	}
	runs, err := l.listRuns(ctx, tx, claim)
	if err != nil {
		return nil, err
	}
	if next, err := decide(claim.Run, runs); err != nil || next.done || next.wait > 0 {
		return nil, nil // Acquire reads the rows again and decides the same
	}
	for _, sql := range []string{q.endOlderRuns, q.endOpenAttempts} {
		if _, err := tx.Exec(ctx, sql, claim.JobID, claim.Run); err != nil {
			return nil, err
		}
	}
	lease := &Lease{ledger: l, jobID: claim.JobID, run: claim.Run}
	err = tx.QueryRow(ctx, q.acquireLease, claim.JobID, claim.Run, claim.Attempt, l.timing.Lease.Seconds()).
		Scan(&lease.token, &lease.startedAt)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, q.beginAttempt, claim.JobID, claim.Run, lease.token, claim.Attempt); err != nil {
		return nil, err
	}
	err = tx.QueryRow(ctx, q.loadCheckpoint, claim.JobID, claim.Run).Scan(&lease.checkpoint)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	lease.expires = started.Add(l.timing.Lease)
	return lease, nil
}

// endSessions ends the sessions of runners with older tokens, to release their locks.
// It only helps: a takeover is safe without it, so a failure is logged and no error.
func (l *Ledger) endSessions(ctx context.Context, jobID string, run int, token int64) {
	var ended int64
	err := l.pool.QueryRow(ctx, l.queries.endSessions, jobID, run, token).Scan(&ended)
	if err != nil && ctx.Err() == nil {
		l.log.Warn("could not end an overtaken runner's sessions; its locks stay until it ends", "error", err.Error())
	}
	if ended > 0 {
		l.log.Warn("ended an overtaken runner's sessions", "sessions", ended)
	}
}

// txOptions overrides the defaults of the role and the database: a fence that reads a
// snapshot, or that may not lock rows, would not work.
func txOptions() pgx.TxOptions {
	return pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
}

// lockTimeout returns how long to wait for a row that a frozen runner may have locked
// before checking again, in milliseconds as PostgreSQL reads them.
func lockTimeout(timing Timing) string {
	return fmt.Sprintf("%dms", max(timing.Poll, 100*time.Millisecond).Milliseconds())
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// SQLSTATE codes that are handled here.
const (
	undefinedTable   = "42P01"
	invalidSchema    = "3F000"
	lockNotAvailable = "55P03"
	deadlockDetected = "40P01"
)

func sqlState(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}
