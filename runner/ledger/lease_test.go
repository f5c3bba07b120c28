package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestLeaseLife(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		ctx := t.Context()
		book := db.open(t, shortTiming())

		first := mustAcquire(t, book, claim(1, 1, 1))
		if err := first.End(ctx, Failed, "", "it\x00broke \xff"); err != nil {
			t.Fatal(err)
		}
		second := mustAcquire(t, book, claim(1, 1, 2))
		if second.Token() != 2 || !second.StartedAt().Equal(first.StartedAt()) {
			t.Errorf("token %d, started at %s, first at %s", second.Token(), second.StartedAt(), first.StartedAt())
		}
		err := pgx.BeginFunc(ctx, db.pool(t), func(tx pgx.Tx) error {
			return second.Complete(ctx, tx, `{"rows": 1,"a":2}`)
		})
		if err != nil {
			t.Fatal(err)
		}
		claimed, err := book.Acquire(ctx, claim(1, 1, 3))
		if err != nil || !claimed.Done || claimed.Result != `{"rows": 1,"a":2}` {
			t.Errorf("%+v, %v", claimed, err)
		}
		got := db.text(t, `SELECT string_agg(attempt || ' ' || token || ' ' || outcome || ' ' || coalesce(error, '-'), ', ' ORDER BY token) FROM hangfire.attempts`)
		if got != "1 1 Failed it�broke �, 2 2 Succeeded -" {
			t.Errorf("attempts: %s", got)
		}
		got = db.text(t, `SELECT string_agg(state, ' ' ORDER BY id) FROM hangfire.run_states`)
		if got != "Processing Scheduled Processing Succeeded" {
			t.Errorf("states: %s", got)
		}
		if got := db.text(t, `SELECT args FROM hangfire.jobs`); got != `{"b":1,"a":2}` {
			t.Errorf("args: %s", got)
		}
	})
}

func TestOneAcquiresTheLease(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		book := db.open(t, Timing{})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var leases atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				claimed, err := book.Acquire(ctx, claim(1, 1, i+1))
				if err == nil && claimed.Lease != nil {
					leases.Add(1)
					cancel() // the others need not wait any longer
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if leases.Load() != 1 {
			t.Errorf("%d leases, want 1", leases.Load())
		}
		if got := db.text(t, `SELECT count(*)::text FROM hangfire.attempts`); got != "1" {
			t.Errorf("%s attempts, want 1", got)
		}
	})
}

// TestHeartbeatKeepsTheLease waits until a heartbeat has extended the lease. Another claim
// waits as long as it has not run out.
func TestHeartbeatKeepsTheLease(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	book := db.open(t, longTiming())
	lease := mustAcquire(t, book, claim(1, 1, 1))
	const expires = `SELECT lease_expires_at::text FROM hangfire.runs`
	first := db.text(t, expires)
	kept, stop := lease.Keep(t.Context())
	defer stop()
	for deadline := time.Now().Add(patience); db.text(t, expires) == first; {
		if time.Now().After(deadline) {
			t.Fatalf("the lease still ends at %s", first)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := book.Acquire(ctx, claim(1, 1, 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second claim did not wait: %v", err)
	}
	if kept.Err() != nil {
		t.Errorf("lost: %v", context.Cause(kept))
	}
}

func TestOvertakenIsFenced(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		ctx := t.Context()
		book := db.open(t, shortTiming())
		pool := db.pool(t)
		old := mustAcquire(t, book, claim(1, 1, 1))
		kept, stop := old.Keep(ctx)
		defer stop()
		db.expire(t, 1)
		mustTakeOver(t, db, book, claim(1, 1, 2))

		select {
		case <-kept.Done():
		case <-time.After(patience):
			t.Fatal("the heartbeat did not notice the takeover")
		}
		if !errors.Is(context.Cause(kept), ErrLost) {
			t.Errorf("cause %v", context.Cause(kept))
		}
		begun, err := old.Begin(ctx, pool)
		if !errors.Is(err, ErrLost) {
			t.Fatalf("begin: %v, %v", err, begun.Rollback(ctx))
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return old.Fence(ctx, tx) })
		if !errors.Is(err, ErrLost) {
			t.Errorf("fence: %v", err)
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return old.Complete(ctx, tx, "") })
		if !errors.Is(err, ErrLost) {
			t.Errorf("complete: %v", err)
		}
		if err := old.End(ctx, Failed, "", "late"); !errors.Is(err, ErrLost) {
			t.Errorf("end: %v", err)
		}
		got := db.text(t, `SELECT string_agg(coalesce(outcome, 'open'), ' ' ORDER BY token) FROM hangfire.attempts`)
		if got != "Lost open" {
			t.Errorf("attempts: %s", got)
		}
	})
}

// mustTakeOver acquires a lease that a living heartbeat keeps renewing.
func mustTakeOver(t *testing.T, db testDB, book *Ledger, c Claim) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	acquired := make(chan error, 1)
	var claimed ClaimResult
	go func() {
		var err error
		claimed, err = book.Acquire(ctx, c)
		acquired <- err
	}()
	for {
		select {
		case err := <-acquired:
			if err != nil || claimed.Lease == nil {
				t.Fatalf("could not take over the lease: %v", err)
			}
			return claimed.Lease
		case <-time.After(20 * time.Millisecond):
			db.expire(t, 1)
		}
	}
}

// TestTakeoverEndsFrozenTransactions checks that a takeover releases the locks of a
// runner that is frozen in a transaction: on the run's row if it was about to commit,
// and on what its handler wrote.
func TestTakeoverEndsFrozenTransactions(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		ctx := t.Context()
		book := db.open(t, shortTiming())
		db.exec(t, `CREATE TABLE accounts (id int PRIMARY KEY, balance int)`)
		db.exec(t, `INSERT INTO accounts VALUES (1, 0)`)
		frozen := mustAcquire(t, book, claim(1, 1, 1))
		tx, err := frozen.Begin(ctx, db.pool(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, `UPDATE accounts SET balance = balance + 1`); err != nil {
			t.Fatal(err)
		}
		if err := frozen.Complete(ctx, tx, ""); err != nil {
			t.Fatal(err)
		}

		lease := mustAcquire(t, book, claim(1, 1, 2))
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		next, err := lease.Begin(limited, db.pool(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next.Exec(limited, `UPDATE accounts SET balance = balance + 1`); err != nil {
			t.Fatalf("the frozen runner still holds its locks: %v", err)
		}
		if err := lease.Complete(limited, next, ""); err != nil {
			t.Fatal(err)
		}
		if err := next.Commit(limited); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(ctx); err == nil {
			t.Error("the frozen runner's transaction committed")
		}
		if got := db.text(t, `SELECT balance::text FROM accounts`); got != "1" {
			t.Errorf("balance %s", got)
		}
	})
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	ctx := t.Context()
	book := db.open(t, shortTiming())
	first := mustAcquire(t, book, claim(1, 1, 1))
	if first.Checkpoint() != "" {
		t.Errorf("checkpoint %s", first.Checkpoint())
	}
	for _, value := range []string{`{"n":1}`, `{"n":2}`} {
		err := pgx.BeginFunc(ctx, db.pool(t), func(tx pgx.Tx) error { return first.SaveCheckpoint(ctx, tx, value) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := first.End(ctx, Interrupted, "", "interrupted"); err != nil {
		t.Fatal(err)
	}
	if got := mustAcquire(t, book, claim(1, 1, 2)).Checkpoint(); got != `{"n":2}` {
		t.Errorf("checkpoint %s", got)
	}
	if got := mustAcquire(t, book, claim(2, 1, 1)).Checkpoint(); got != "" {
		t.Errorf("another job's checkpoint is %s", got)
	}
}

func TestRequeuedRun(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	ctx := t.Context()
	book := db.open(t, longTiming())
	old := mustAcquire(t, book, claim(1, 1, 1))
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := book.Acquire(limited, claim(1, 2, 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run 2 did not wait for run 1's lease: %v", err)
	}
	db.expire(t, 1)
	mustAcquire(t, book, claim(1, 2, 3))
	if err := old.End(ctx, Succeeded, "", ""); !errors.Is(err, ErrLost) {
		t.Errorf("run 1 ended after run 2 began: %v", err)
	}
	var superseded *SupersededError
	if _, err := book.Acquire(ctx, claim(1, 1, 4)); !errors.As(err, &superseded) || !strings.Contains(err.Error(), "run 2 of this job has begun") {
		t.Errorf("run 1 was claimed again: %v", err)
	}
}

// TestHeartbeatWithoutDatabase checks that, when the database goes away, the lease is
// given up when it may have run out, and not before.
func TestHeartbeatWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, false)
	book := db.open(t, shortTiming())
	// A lease counts from before its request was sent.
	asked := time.Now()
	lease := mustAcquire(t, book, claim(1, 1, 1))
	book.pool.Close()
	kept, stop := lease.Keep(t.Context())
	defer stop()
	select {
	case <-kept.Done():
	case <-time.After(patience):
		t.Fatal("the lease was never given up")
	}
	if !errors.Is(context.Cause(kept), ErrLost) {
		t.Errorf("cause %v", context.Cause(kept))
	}
	if held := time.Since(asked); held < shortTiming().Lease {
		t.Errorf("given up after %s of %s", held, shortTiming().Lease)
	}
}
