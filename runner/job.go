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

// rollbackTimeout bounds how long an abandoned transaction's rollback may take;
// after that its connection is closed, which does the same.
const rollbackTimeout = 5 * time.Second

// Job is one attempt at a run, with its arguments.
type Job[T any] struct {
	// ID is the WorkspaceJob's UID, Name its name.
	ID, Name string
	// Run counts the job's runs from 1, Attempt the attempts over all its runs.
	Run, Attempt     int
	Workspace, Queue string
	// StartedAt is when the run's first attempt began, by the database's clock: the
	// same in each attempt, so it is what "now" should mean to a handler.
	StartedAt time.Time
	Args      T
	// Schema is the ledger's schema.
	Schema string
	// Logger writes JSON to stdout, one line a fact. Secrets have no place in it.
	Logger *slog.Logger
	// Pool is for statements beside [Job.Tx]: reading, or what may happen twice.
	// It is nil in a handler of [HandleTx].
	Pool *pgxpool.Pool

	session *session
}

// session is what a Job is without the type of its arguments.
type session struct {
	description Description
	log         *slog.Logger
	pool        *pgxpool.Pool
	inTx        bool
	lease       *ledger.Lease
	checkpoint  string
	result      json.RawMessage
	// completed is the result of a run that a batch has completed; nil before that.
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

// SetResult sets what the run answers when it succeeds: any value that encodes to
// at most contract.MaxResult bytes of JSON. The last one counts.
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

// Checkpoint reads into value what the run saved last with [Tx.Checkpoint], in
// this attempt or an earlier one. It is false, and value untouched, if nothing
// was.
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
	// completes the run, with result.
	completes bool
	result    json.RawMessage
}

// Checkpoint saves value as JSON when the batch commits, in place of the run's
// earlier checkpoint.
func (t *Tx) Checkpoint(value any) error {
	encoded, err := encodeJSON(value)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	t.checkpoint = string(encoded)
	return nil
}

// Complete makes this batch the run's last: what it does, the run's success and its
// result commit together. So whatever cancels or kills the process meanwhile, the
// run has succeeded or this batch has had no effect. What the handler answers after
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
// saves commit together, or neither does, and only while this process is the one
// that may work on the run. If work returns an error the batch is rolled back and
// Tx returns that error. The transaction is READ COMMITTED; work neither commits
// nor rolls back.
//
// An error of Tx is best returned by the handler as it is: it may mean that
// another process has taken over.
func (j *Job[T]) Tx(ctx context.Context, work func(tx *Tx) error) error {
	s := j.session
	if s.inTx {
		return errors.New("a handler of HandleTx has its one transaction; batches are for Handle")
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

// commit commits a batch. An interruption comes too late for it: nobody knows what
// became of a COMMIT whose answer was not waited for.
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

// fence makes sure that the lease is still ours, or ends it with the run.
func (s *session) fence(ctx context.Context, begun pgx.Tx, batch *Tx) error {
	if batch.completes {
		return s.lease.Complete(ctx, begun, string(batch.result))
	}
	return s.lease.Fence(ctx, begun)
}

// answer is the run's result.
func (s *session) answer() json.RawMessage {
	if completed := s.completed.Load(); completed != nil {
		return *completed
	}
	return s.result
}

// handlerTx is a transaction whose end is not the handler's to decide.
type handlerTx struct{ pgx.Tx }

func (handlerTx) Commit(context.Context) error {
	return errors.New("the runner commits this transaction when the handler returns nil")
}

func (handlerTx) Rollback(context.Context) error {
	return errors.New("the runner rolls this transaction back when the handler returns an error")
}

// stillOpen makes sure that what follows commits together with what the handler
// did: not so after a COMMIT or a ROLLBACK among its statements. A handler whose
// context has ended may have stopped halfway without noticing.
func stillOpen(ctx context.Context, tx pgx.Tx) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch tx.Conn().PgConn().TxStatus() {
	case 'T':
		return nil
	case 'E':
		return errors.New("a statement of the transaction failed, and the handler went on without it")
	default:
		return Permanent(errors.New("the handler ended the runner's transaction with a statement of its own: effects may be there twice or not at all"))
	}
}

// rollback ends a transaction that was not committed; on one that was it does
// nothing.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // its failure closes the connection, which rolls back too
}

// encodeJSON encodes on one line, without escaping what only HTML minds.
func encodeJSON(value any) (json.RawMessage, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(buffer.Bytes()), nil
}
