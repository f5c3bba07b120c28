// Package ledger is a workspace's memory of its runs, in a schema of the
// workspace's own database: which run holds the lease, what each attempt came to,
// how far a run has got, and what has succeeded and must not happen again.
//
// A run's lease is a row with an expiry by the server's clock, kept up by a
// heartbeat, under a token that grows with each taking. All that a runner commits
// checks in the same transaction that its token is still the newest: so whoever
// was overtaken while it was frozen, cut off or slow can no longer take effect.
//
// Nothing here needs a session: no session locks, no settings that outlive a
// transaction, no named prepared statements. It works through PgBouncer in
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

// ErrLost says that a run's lease is no longer ours: it ran out and another
// runner has taken it, or the database could not be reached for as long as it
// lasted.
var ErrLost = errors.New("the lease was lost to another runner")

// ErrNotMigrated says that the database holds no ledger, or an older one than
// this runner works with.
var ErrNotMigrated = errors.New("the ledger is not there or not up to date: run the command \"migrate\" first")

// ErrNewer says that the ledger was migrated by a newer runner than this one.
var ErrNewer = errors.New("the ledger was made by a newer runner: update the Workspace's runner image")

// Timing of a lease. The zero value stands for the defaults.
type Timing struct {
	// Lease is how long a lease lasts without a heartbeat. Default: 30 s.
	Lease time.Duration
	// Heartbeat is the time between two heartbeats, well below Lease. Default:
	// 10 s.
	Heartbeat time.Duration
	// Poll is how often a runner looks whether a lease that it waits for is free.
	// Default: 1 s.
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

// New is the ledger in a schema; nothing is asked of the database yet. The
// ledger's heartbeats need a connection at any time: the pool should be its own.
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

// Taken is what a claim came to: either the lease, or the result of a run that
// has succeeded before.
type Taken struct {
	Lease *Lease
	// Done: the run has succeeded; Result is what it answered, empty if nothing.
	Done   bool
	Result string
}

// SupersededError says that a newer run of the same job has begun, so this one is
// over.
type SupersededError struct{ Newer int }

func (e *SupersededError) Error() string {
	return fmt.Sprintf("run %d of this job has begun: this older run is over", e.Newer)
}

// Take waits until the run can be worked on and takes its lease, or returns its
// result if it succeeds meanwhile. It waits for as long as another runner keeps
// the run's lease, or that of an older run of the job, up to ctx. Errors:
// [ErrNotMigrated], [ErrNewer], [*SupersededError], ctx's cause, and whatever the
// database answers.
func (l *Ledger) Take(ctx context.Context, claim Claim) (Taken, error) {
	if err := l.checkVersion(ctx); err != nil {
		return Taken{}, err
	}
	waiting, overtaking := false, false
	for {
		seen, err := l.look(ctx, l.pool, claim)
		if err != nil {
			return Taken{}, err
		}
		next, err := decide(claim.Run, seen)
		if err != nil || next.done {
			return Taken{Done: next.done, Result: next.result}, err
		}
		if next.wait == 0 {
			if next.takeover {
				if !overtaking {
					overtaking = true
					l.log.Warn("taking over a run whose lease ran out")
				}
				l.endSessions(ctx, claim.JobID, claim.Run, next.newestToken+1)
			}
			lease, err := l.take(ctx, claim)
			if lease != nil || err != nil {
				return Taken{Lease: lease}, err
			}
			continue
		}
		if !waiting {
			waiting = true
			l.log.Info("waiting: another runner works on this job", "leaseLeft", next.wait.String())
		}
		if err := sleep(ctx, min(next.wait, l.timing.Poll)); err != nil {
			return Taken{}, err
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

// take takes the lease in one transaction. No lease and no error: something has
// changed since the last look, or a frozen runner still holds the run's row.
func (l *Ledger) take(ctx context.Context, claim Claim) (*Lease, error) {
	var lease *Lease
	err := pgx.BeginTxFunc(ctx, l.pool, txOptions(), func(tx pgx.Tx) error {
		var err error
		lease, err = l.takeIn(ctx, tx, claim)
		return err
	})
	if code := sqlState(err); code == lockNotAvailable || code == deadlockDetected {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if lease != nil && lease.hasPredecessors() {
		// Again: a runner that was woken just before can have begun a transaction.
		l.endSessions(ctx, claim.JobID, claim.Run, lease.token)
	}
	return lease, nil
}

func (l *Ledger) takeIn(ctx context.Context, tx pgx.Tx, claim Claim) (*Lease, error) {
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
	seen, err := l.look(ctx, tx, claim)
	if err != nil {
		return nil, err
	}
	if next, err := decide(claim.Run, seen); err != nil || next.done || next.wait > 0 {
		return nil, nil // the next look says so again
	}
	for _, sql := range []string{q.endOlderRuns, q.loseAttempts} {
		if _, err := tx.Exec(ctx, sql, claim.JobID, claim.Run); err != nil {
			return nil, err
		}
	}
	lease := &Lease{ledger: l, jobID: claim.JobID, run: claim.Run}
	err = tx.QueryRow(ctx, q.take, claim.JobID, claim.Run, claim.Attempt, l.timing.Lease.Seconds()).
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

// endSessions frees what runners with older tokens have locked. That is a help,
// not what makes a takeover safe: failing at it is no error.
func (l *Ledger) endSessions(ctx context.Context, jobID string, run int, token int64) {
	var ended int64
	err := l.pool.QueryRow(ctx, l.queries.endSessions, jobID, run, token).Scan(&ended)
	if err != nil && ctx.Err() == nil {
		l.log.Warn("cannot end an overtaken runner's sessions; its locks stay until it ends", "error", err.Error())
	}
	if ended > 0 {
		l.log.Warn("ended an overtaken runner's sessions", "sessions", ended)
	}
}

// txOptions fix what a role's or a database's defaults might change: a fence that
// reads a snapshot, or that may not write, is none.
func txOptions() pgx.TxOptions {
	return pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
}

// lockTimeout is how long to wait for a row that a frozen runner may hold before
// looking again, in PostgreSQL's milliseconds.
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

// SQLSTATE codes that mean something here.
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
