package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// rollbackTimeout bounds how long an abandoned transaction's rollback may take.
// After that its connection is closed, which also rolls back.
const rollbackTimeout = 5 * time.Second

// Job is one attempt at a run, with its arguments.
type Job[T any] struct {
	// ID is the WorkspaceJob's UID, Name its name.
	ID, Name string
	// Run counts the job's runs from 1, Attempt the attempts over all its runs.
	Run, Attempt     int
	Workspace, Queue string
	// StartedAt is when the run's first attempt began, by the database's clock. It is
	// the same in each attempt, so handlers should use it as "now".
	StartedAt time.Time
	Args      T
	// Schema is the ledger's schema.
	Schema string
	// Logger writes lines of JSON to stdout. Don't log secrets.
	Logger *slog.Logger
	// Pool is for statements outside [Job.Tx]: to read, or for what may happen twice.
	// It is nil in a handler of [HandleTx].
	Pool *pgxpool.Pool

	session *session
}

// session is the part of a Job that does not depend on the type of its arguments.
type session struct {
	description Description
	log         *slog.Logger
	pool        *pgxpool.Pool
	inTx        bool
	lease       *ledger.Lease
	checkpoint  string
	result      json.RawMessage
	// completed is the result of a run that a batch has completed, and nil until then.
	completed atomic.Pointer[json.RawMessage]
}

func newJob[T any](s *session, args T) *Job[T] {
	d := s.description
	job := &Job[T]{
		ID: d.JobID, Name: d.Name, Run: d.Run, Attempt: d.Attempt, Workspace: d.Workspace, Queue: d.Queue,
		StartedAt: s.lease.StartedAt(), Args: args, Schema: d.schema(), Logger: s.log, session: s,
	}
	if !s.inTx {
		job.Pool = s.pool
	}
	return job
}

// SetResult sets the run's result, if it succeeds: any value that encodes to at most
// contract.MaxResult bytes of JSON. The last call wins.
func (j *Job[T]) SetResult(value any) error {
	encoded, err := encodeResult(value)
	if err != nil {
		return err
	}
	j.session.result = encoded
	return nil
}

func encodeResult(value any) (json.RawMessage, error) {
	encoded, err := encodeJSON(value)
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	if len(encoded) > contract.MaxResult {
		return nil, fmt.Errorf("the result is %d bytes long; at most %d fit: store the rest in the database", len(encoded), contract.MaxResult)
	}
	return encoded, nil
}

// Checkpoint reads the run's last [Tx.Checkpoint], of this attempt or an earlier one,
// into value. It returns false, and leaves value unchanged, if there is none.
func (j *Job[T]) Checkpoint(value any) (bool, error) {
	if j.session.checkpoint == "" {
		return false, nil
	}
	if err := json.Unmarshal([]byte(j.session.checkpoint), value); err != nil {
		return false, fmt.Errorf("read the checkpoint: %w", err)
	}
	return true, nil
}

// Tx is the transaction of one batch.
type Tx struct {
	pgx.Tx
	checkpoint string
	// completes says that the batch completes the run, with result.
	completes bool
	result    json.RawMessage
}

// Checkpoint saves value as JSON when the batch commits, and replaces the run's
// earlier checkpoint.
func (t *Tx) Checkpoint(value any) error {
	encoded, err := encodeJSON(value)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	t.checkpoint = string(encoded)
	return nil
}

// Complete makes this batch the run's last: its effects, the run's success and the
// result commit together. If the process is cancelled or killed meanwhile, either the
// run has succeeded or this batch has had no effect. What the handler returns after
// that commit no longer counts. For the result see [Job.SetResult].
func (t *Tx) Complete(result any) error {
	encoded, err := encodeResult(result)
	if err != nil {
		return err
	}
	t.completes, t.result = true, encoded
	return nil
}

// Tx runs one batch: what work does in the transaction and the checkpoint that it
// saves commit together, or not at all, and only while this process holds the run's
// lease. If work returns an error, the batch is rolled back and Tx returns that
// error. The transaction is READ COMMITTED. work must not commit or roll back.
//
// Handlers should return an error of Tx as it is: it may mean that another process
// has taken over.
func (j *Job[T]) Tx(ctx context.Context, work func(tx *Tx) error) error {
	s := j.session
	if s.inTx {
		return errors.New("a handler of HandleTx has one transaction only: use Handle for batches")
	}
	begun, err := s.lease.Begin(ctx, s.pool)
	if err != nil {
		return err
	}
	defer rollback(begun)
	batch := &Tx{Tx: handlerTx{begun}}
	if err := work(batch); err != nil {
		return err
	}
	if err := stillOpen(ctx, begun); err != nil {
		return err
	}
	return s.commit(ctx, begun, batch)
}

// commit commits a batch. It can't be interrupted: if it did not wait for the answer
// to COMMIT, it would not know whether the batch was committed.
func (s *session) commit(ctx context.Context, begun pgx.Tx, batch *Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeTimeout)
	defer cancel()
	if batch.checkpoint != "" {
		if err := s.lease.SaveCheckpoint(ctx, begun, batch.checkpoint); err != nil {
			return err
		}
	}
	if err := s.fence(ctx, begun, batch); err != nil {
		return err
	}
	if err := begun.Commit(ctx); err != nil {
		return err
	}
	if batch.checkpoint != "" {
		s.checkpoint = batch.checkpoint
	}
	if batch.completes {
		s.completed.Store(&batch.result)
	}
	return nil
}

// fence checks that this process still holds the lease, or ends the lease and the run.
func (s *session) fence(ctx context.Context, begun pgx.Tx, batch *Tx) error {
	if batch.completes {
		return s.lease.Complete(ctx, begun, string(batch.result))
	}
	return s.lease.Fence(ctx, begun)
}

// finalResult returns the run's result.
func (s *session) finalResult() json.RawMessage {
	if completed := s.completed.Load(); completed != nil {
		return *completed
	}
	return s.result
}

// handlerTx is a transaction that the handler can't end.
type handlerTx struct{ pgx.Tx }

func (handlerTx) Commit(context.Context) error {
	return errors.New("the runner commits this transaction when the handler returns nil")
}

func (handlerTx) Rollback(context.Context) error {
	return errors.New("the runner rolls this transaction back when the handler returns an error")
}

// stillOpen checks that what follows commits together with what the handler did. It
// would not if one of the handler's statements was a COMMIT or a ROLLBACK. It also
// fails if ctx has ended, since the handler may have stopped halfway without noticing.
func stillOpen(ctx context.Context, tx pgx.Tx) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch tx.Conn().PgConn().TxStatus() {
	case 'T':
		return nil
	case 'E':
		return errors.New("a statement of the transaction failed, but the handler ignored its error")
	default:
		return Permanent(errors.New("the handler ended the runner's transaction with a statement of its own: its effects may have happened twice or not at all"))
	}
}

// rollback rolls a transaction back, unless it was committed.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // if it fails, the connection is closed, which rolls back too
}

// encodeJSON encodes value on one line, and escapes nothing for HTML.
func encodeJSON(value any) (json.RawMessage, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(buffer.Bytes()), nil
}
