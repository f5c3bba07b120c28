package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Outcome is how an attempt ended, as the ledger stores it.
type Outcome string

// Outcomes that runners record. The ledger adds "Lost" for attempts that were
// overtaken. PermanentFailure keeps the word of the first migration: an older runner may
// still write it while a new one is rolled out.
const (
	Succeeded        Outcome = "Succeeded"
	Failed           Outcome = "Failed"
	PermanentFailure Outcome = "FailedForGood"
	Later            Outcome = "Later"
	TimedOut         Outcome = "TimedOut"
	Interrupted      Outcome = "Interrupted"
)

// maxError bounds the error text that the ledger keeps, in bytes.
const maxError = 8 << 10

// Lease is the right to work on a run, for as long as its token is the newest.
type Lease struct {
	ledger     *Ledger
	jobID      string
	run        int
	token      int64
	startedAt  time.Time
	checkpoint string
	// expires is when the lease runs out, by this process's monotonic clock. It counts
	// from before the request was sent, so it is never later than by the server's clock.
	expires time.Time
}

// hasPredecessors reports whether another lease of this job was held before.
func (l *Lease) hasPredecessors() bool { return l.token > 1 || l.run > 1 }

// Token returns the lease's token. It grows by at least one each time the run's lease
// is acquired.
func (l *Lease) Token() int64 { return l.token }

// StartedAt returns when the run's first attempt began, by the server's clock. It is
// the same for all attempts of the run.
func (l *Lease) StartedAt() time.Time { return l.startedAt }

// Checkpoint returns the JSON that the run saved last, or "" if there is none.
func (l *Lease) Checkpoint() string { return l.checkpoint }

// Begin starts a transaction that a takeover can find and end. It returns [ErrLost]
// if the lease was lost.
func (l *Lease) Begin(ctx context.Context, pool Beginner) (pgx.Tx, error) {
	tx, err := pool.BeginTx(ctx, txOptions())
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("wsj/%s/%d/%d", l.jobID, l.run, l.token)
	err = tx.QueryRow(ctx, l.ledger.queries.nameSession, l.jobID, l.run, l.token, name).Scan(&name)
	if err == nil {
		return tx, nil
	}
	if rollback := tx.Rollback(ctx); rollback != nil {
		l.ledger.log.Debug("rollback", "error", rollback.Error())
	}
	return nil, lostIfNoRows(err)
}

// Beginner is a pool or a connection.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Fence makes sure that the lease is still held and stays so until tx commits. It must
// be the last statement before the commit. It returns [ErrLost] if the lease was lost.
func (l *Lease) Fence(ctx context.Context, tx pgx.Tx) error {
	tag, err := tx.Exec(ctx, l.ledger.queries.fence, l.jobID, l.run, l.token)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return ErrLost
	}
	return nil
}

// SaveCheckpoint replaces the run's checkpoint with value, a JSON text, in tx.
func (l *Lease) SaveCheckpoint(ctx context.Context, tx pgx.Tx, value string) error {
	_, err := tx.Exec(ctx, l.ledger.queries.saveCheckpoint, l.jobID, l.run, l.token, value)
	return err
}

// Complete records the run's success and its result, a JSON text or "". It must be the
// last statement before tx commits. It returns [ErrLost] if the lease was lost.
func (l *Lease) Complete(ctx context.Context, tx pgx.Tx, result string) error {
	return l.end(ctx, tx, Succeeded, result, "")
}

// End records the attempt's outcome and gives the lease back, in a transaction of its
// own. The message is for people and must not contain secrets. If the lease was lost,
// End records nothing and returns [ErrLost].
func (l *Lease) End(ctx context.Context, outcome Outcome, result, message string) error {
	return pgx.BeginTxFunc(ctx, l.ledger.pool, txOptions(), func(tx pgx.Tx) error {
		return l.end(ctx, tx, outcome, result, message)
	})
}

func (l *Lease) end(ctx context.Context, tx pgx.Tx, outcome Outcome, result, message string) error {
	state := stateScheduled
	switch outcome {
	case Succeeded:
		state = stateSucceeded
	case PermanentFailure:
		state = stateFailed
	}
	var resultArg, messageArg *string
	if result != "" && outcome == Succeeded {
		resultArg = &result
	}
	if outcome != Succeeded {
		kept := storable(message)
		messageArg = &kept
	}
	tag, err := tx.Exec(ctx, l.ledger.queries.end, l.jobID, l.run, l.token, state, resultArg, string(outcome), messageArg)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return ErrLost
	}
	return nil
}

// storable returns message as PostgreSQL can store it, shortened if it is too long.
func storable(message string) string {
	if len(message) > maxError {
		message = message[:maxError]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(message, "�"), "\x00", "�")
}

func lostIfNoRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrLost
	}
	return err
}

// Keep renews the lease until stop is called, which waits for the heartbeat to end.
// The returned context is cancelled with the cause [ErrLost] when another runner has
// taken over, or when the lease may have run out because the database could not be
// reached.
func (l *Lease) Keep(ctx context.Context) (kept context.Context, stop func()) {
	kept, lose := context.WithCancelCause(ctx)
	beating, stopBeating := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.beat(beating); err != nil {
			lose(err)
		}
	}()
	return kept, func() {
		stopBeating()
		<-done
		lose(nil)
	}
}

// beat sends heartbeats until ctx ends, when it returns nil, or the lease is lost.
func (l *Lease) beat(ctx context.Context) error {
	pause := l.ledger.timing.Heartbeat
	for {
		if err := sleep(ctx, min(pause, max(0, time.Until(l.expires)))); err != nil {
			return nil
		}
		pause = l.ledger.timing.Heartbeat
		err := l.heartbeat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrLost):
			return ErrLost
		case err == nil:
		case time.Now().After(l.expires):
			return fmt.Errorf("%w, or may have been: no heartbeat got through: %w", ErrLost, err)
		default:
			l.ledger.log.Warn("heartbeat failed; trying again", "error", err.Error())
			pause = l.ledger.timing.Poll
		}
	}
}

// heartbeat renews the lease. It also ends the sessions of runners that were overtaken,
// since a frozen one may wake in the middle of a transaction.
func (l *Lease) heartbeat(ctx context.Context) error {
	sent := time.Now()
	// The minimum is for a process that was frozen longer than its lease.
	limit := max(time.Until(l.expires), l.ledger.timing.Poll)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	q := l.ledger.queries
	tag, err := l.ledger.pool.Exec(ctx, q.heartbeat, l.jobID, l.run, l.token, l.ledger.timing.Lease.Seconds())
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return ErrLost
	}
	l.expires = sent.Add(l.ledger.timing.Lease)
	if l.hasPredecessors() {
		l.ledger.endSessions(ctx, l.jobID, l.run, l.token)
	}
	return nil
}
