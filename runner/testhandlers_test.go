package runner_test

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

// effectArgs are the arguments of the handlers that have an effect.
type effectArgs struct {
	// Gate is a file: the handler logs "at the gate" and waits until the file exists.
	Gate string `json:"gate"`
	// At is the number of the batch before which it does so.
	At int `json:"at"`
	// Batches is how many there are.
	Batches int `json:"batches"`
	// Pause is how long each batch takes, in milliseconds.
	Pause int `json:"pause"`
}

// wait waits at the gate, or until ctx ends.
func (a effectArgs) wait(ctx context.Context, log func(string, ...any)) error {
	if a.Gate == "" {
		return nil
	}
	log("at the gate")
	for {
		if _, err := os.Stat(a.Gate); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

type noArgs struct{}

func testHandlers() []runner.Handler {
	return []runner.Handler{
		runner.HandleTx("effect", effectHandler),
		runner.Handle("batches", batchesHandler),
		runner.HandleTx("hidden", hiddenHandler),
		runner.Handle("hidden-batch", func(ctx context.Context, job *runner.Job[effectArgs]) error {
			return job.Tx(ctx, func(tx *runner.Tx) error { return hiddenHandler(ctx, tx, job) })
		}),
		runner.HandleTx("slow-commit", slowCommitHandler),
		runner.Handle("deaf", deafHandler),
		runner.HandleTx("deaf-tx", func(ctx context.Context, _ pgx.Tx, job *runner.Job[noArgs]) error {
			return deafHandler(ctx, job)
		}),
		runner.HandleTx("blind", blindHandler),
		runner.Handle("panics", func(context.Context, *runner.Job[noArgs]) error { panic("the sky falls") }),
		runner.Handle("permanent", func(context.Context, *runner.Job[noArgs]) error {
			return runner.Permanent(errors.New("no such customer"))
		}),
		runner.Handle("later", func(context.Context, *runner.Job[noArgs]) error {
			return runner.RetryAfter(errors.New("the upstream is busy"), 90*time.Second)
		}),
		runner.HandleTx("commits", func(ctx context.Context, tx pgx.Tx, _ *runner.Job[noArgs]) error {
			_, err := tx.Exec(ctx, "COMMIT")
			return err
		}),
		runner.HandleTx("commits-politely", func(ctx context.Context, tx pgx.Tx, _ *runner.Job[noArgs]) error {
			return tx.Commit(ctx)
		}),
		runner.HandleTx("swallows", func(ctx context.Context, tx pgx.Tx, _ *runner.Job[noArgs]) error {
			_, _ = tx.Exec(ctx, "SELECT 1/0")
			return nil
		}),
		runner.Handle("leaks", leaksHandler),
		runner.Handle("too-much", func(_ context.Context, job *runner.Job[noArgs]) error {
			return job.SetResult(make([]int, 5000))
		}),
		runner.Handle("greedy", greedyHandler),
		runner.Handle("session", sessionHandler),
		runner.HandleTx("sleeps", func(ctx context.Context, tx pgx.Tx, _ *runner.Job[noArgs]) error {
			_, err := tx.Exec(ctx, `SELECT pg_sleep(600)`)
			return err
		}),
	}
}

// effectHandler increments an account and keeps its row locked until it is done.
func effectHandler(ctx context.Context, tx pgx.Tx, job *runner.Job[effectArgs]) error {
	if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ($1, 0)`, job.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET balance = balance + 1 WHERE id = 1`); err != nil {
		return err
	}
	if err := job.SetResult(map[string]any{"attempt": job.Attempt}); err != nil {
		return err
	}
	return job.Args.wait(ctx, job.Logger.Info)
}

// batchesHandler increments an account in batches.
func batchesHandler(ctx context.Context, job *runner.Job[effectArgs]) error {
	var done int
	if _, err := job.Checkpoint(&done); err != nil {
		return err
	}
	for ; done < job.Args.Batches; done++ {
		if done == job.Args.At {
			if err := job.Args.wait(ctx, job.Logger.Info); err != nil {
				return err
			}
		}
		err := job.Tx(ctx, func(tx *runner.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ($1, $2)`, job.ID, done); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT pg_sleep($1::double precision / 1000)`, job.Args.Pause); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE accounts SET balance = balance + $1 WHERE id = 1`, done); err != nil {
				return err
			}
			return tx.Checkpoint(done + 1)
		})
		if err != nil {
			return err
		}
	}
	return job.SetResult(map[string]int{"batches": done})
}

// hiddenHandler removes its session's name, so that no successor finds and ends it.
func hiddenHandler(ctx context.Context, tx pgx.Tx, job *runner.Job[effectArgs]) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('application_name', 'hidden', true)`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ($1, 0)`, job.ID); err != nil {
		return err
	}
	return job.Args.wait(ctx, job.Logger.Info)
}

// slowCommitHandler leaves work to a trigger that runs at commit.
func slowCommitHandler(ctx context.Context, tx pgx.Tx, job *runner.Job[noArgs]) error {
	_, err := tx.Exec(ctx, `INSERT INTO slow_effects (job) VALUES ($1)`, job.ID)
	return err
}

// deafHandler never returns.
func deafHandler(_ context.Context, job *runner.Job[noArgs]) error {
	job.Logger.Info("deaf")
	select {}
}

// blindHandler does half of its work and ignores that its context has ended.
func blindHandler(ctx context.Context, tx pgx.Tx, job *runner.Job[noArgs]) error {
	if _, err := tx.Exec(ctx, `INSERT INTO effects (job, batch) VALUES ($1, 0)`, job.ID); err != nil {
		return err
	}
	job.Logger.Info("at the gate")
	<-ctx.Done()
	return nil
}

// leaksHandler logs and returns what it should not.
func leaksHandler(_ context.Context, job *runner.Job[noArgs]) error {
	url := os.Getenv("DATABASE_URL")
	job.Logger.Error("cannot connect", "url", url, "password", testPassword)
	return errors.New("cannot use " + url + " with " + testPassword)
}

// sessionFacts describes a session.
type sessionFacts struct {
	TLS              bool   `json:"tls"`
	Client           string `json:"client"`
	ApplicationName  string `json:"applicationName"`
	StatementTimeout string `json:"statementTimeout"`
}

// sessionHandler returns a description of its session.
func sessionHandler(ctx context.Context, job *runner.Job[noArgs]) error {
	var facts sessionFacts
	err := job.Pool.QueryRow(ctx, `SELECT ssl, coalesce(client_dn, ''), current_setting('application_name'),
		current_setting('statement_timeout') FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).
		Scan(&facts.TLS, &facts.Client, &facts.ApplicationName, &facts.StatementTimeout)
	if err != nil {
		return err
	}
	return job.SetResult(facts)
}

// greedyHandler holds all the connections that it can get while it waits at the gate.
func greedyHandler(ctx context.Context, job *runner.Job[effectArgs]) error {
	for range job.Pool.Config().MaxConns {
		conn, err := job.Pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
	}
	return job.Args.wait(ctx, job.Logger.Info)
}
