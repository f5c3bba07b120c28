package runner

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner/ledger"
)

// work runs the handler and completes the run. It returns nil once the run has
// succeeded and the ledger says so.
func (e execution) work(ctx context.Context, s *session) error {
	kept, stop := s.lease.Keep(ctx)
	defer stop()
	tx, err := e.call(kept, s)
	var stuck *stuckError
	if tx != nil && !errors.As(err, &stuck) {
		defer rollback(tx)
	}
	if s.completed.Load() != nil {
		if err != nil {
			e.log.Warn("the run was completed before its handler failed", "error", err.Error())
		}
		return nil
	}
	if lost := context.Cause(kept); err != nil && errors.Is(lost, ledger.ErrLost) && !errors.As(err, &stuck) {
		return lost
	}
	if err != nil {
		return err
	}
	if kept.Err() != nil {
		return context.Cause(kept) // see stillOpen
	}
	// From here on the ledger decides whether this process still holds the lease, and
	// an interruption comes too late.
	stop()
	completing, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	if e.handler.inTx {
		return complete(completing, s, tx)
	}
	return e.completeAlone(completing, s)
}

// call runs the handler, in a transaction if it wants one, and waits until it returns
// or the grace period after the end of its context is over.
func (e execution) call(ctx context.Context, s *session) (pgx.Tx, error) {
	bound, err := e.handler.bind(e.description.args())
	if err != nil {
		return nil, err
	}
	var tx, handed pgx.Tx
	if e.handler.inTx {
		if tx, err = s.lease.Begin(ctx, s.pool); err != nil {
			return nil, err
		}
		handed = handlerTx{tx}
	}
	returned := make(chan error, 1)
	go func() { returned <- e.recovering(ctx, bound, s, handed) }()
	select {
	case err := <-returned:
		return tx, err
	case <-ctx.Done():
	}
	grace := time.NewTimer(e.config.Grace)
	defer grace.Stop()
	select {
	case err := <-returned:
		return tx, err
	case <-grace.C:
		return tx, &stuckError{cause: context.Cause(ctx), after: e.config.Grace}
	}
}

// recovering calls the handler and turns a panic into an error. The stack goes to the
// log.
func (e execution) recovering(ctx context.Context, bound boundHandler, s *session, tx pgx.Tx) (err error) {
	defer func() {
		if value := recover(); value != nil {
			caught := &panicError{value: value, stack: string(debug.Stack())}
			e.log.Error("the handler panicked", "panic", caught.Error(), "stack", caught.stack)
			err = caught
		}
	}()
	return bound(ctx, s, tx)
}

// complete commits the handler's transaction together with the run's completion.
func complete(ctx context.Context, s *session, tx pgx.Tx) error {
	if err := stillOpen(ctx, tx); err != nil {
		return err
	}
	if err := s.lease.Complete(ctx, tx, string(s.result)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// completeAlone records the success of a handler whose batches are committed. It
// keeps trying, since otherwise the next attempt runs the handler's end again.
func (e execution) completeAlone(ctx context.Context, s *session) error {
	for {
		err := s.lease.End(ctx, ledger.Succeeded, string(s.result), "")
		var answer *pgconn.PgError
		if err == nil || errors.Is(err, ledger.ErrLost) || errors.As(err, &answer) || ctx.Err() != nil {
			return err
		}
		e.log.Warn("cannot record the success; trying again", "error", explainDatabase(err).Error())
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
