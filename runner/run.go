package runner

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/openradius/workspace-jobs/runner/ledger"
)

const (
	// defaultGrace is how long a handler may keep running after its context has ended.
	// It is less than the 30 s that Kubernetes gives a pod, so that there is time left
	// to record the outcome.
	defaultGrace = 20 * time.Second
	// recordTimeout bounds the recording of an outcome.
	recordTimeout = 5 * time.Second
	// completeTimeout bounds the commit that completes a run, including attempts
	// to reach a database that went away.
	completeTimeout = 20 * time.Second
)

// Config is what the runs of one process have in common.
type Config struct {
	Handlers []Handler
	Logger   *slog.Logger
	// Timing is the timing of leases. The zero value means the defaults.
	Timing ledger.Timing
	// Grace is how long a handler may keep running after its context has ended.
	// Default: 20 s. A handler that takes longer is abandoned.
	Grace time.Duration
}

// Run makes one attempt at a run and returns its outcome. It does not handle signals:
// when ctx ends, the run is interrupted, and at d.Deadline it times out.
//
// If the ledger says that the run has succeeded, Run returns Done and does not run it
// again. While another runner works on the same run, Run waits for it. When the lease
// is lost, everything is rolled back and Run starts over.
//
// Run returns Refused if the database role can reach beyond its own database, as a
// superuser can, unless d.AllowSuperuser is set.
func Run(ctx context.Context, config Config, d Description) Outcome {
	if config.Grace == 0 {
		config.Grace = defaultGrace
	}
	redact := newRedactor(d.DatabaseURL)
	outcome := run(ctx, config, d)
	outcome.Error = redact.text(outcome.Error)
	return outcome
}

func run(ctx context.Context, config Config, d Description) Outcome {
	if err := d.check(); err != nil {
		return outcomeOf(ctx, err)
	}
	handler, err := find(config.Handlers, d)
	if err != nil {
		return outcomeOf(ctx, err)
	}
	// The log names only a handler that there is: any other name may be a secret.
	config.Logger = config.Logger.With("handler", handler.name)
	if err := ledger.CheckSchema(d.schema()); err != nil {
		return Outcome{Kind: Refused, Error: err.Error()}
	}
	if !d.Deadline.IsZero() {
		limited, cancel := context.WithDeadlineCause(ctx, d.Deadline, errTimeout)
		defer cancel()
		ctx = limited
	}
	// Connections outlive ctx, since the outcome is recorded after it has ended.
	db, err := openDatabase(context.WithoutCancel(ctx), d.DatabaseURL, applicationName(d.JobID))
	if err != nil {
		return outcomeOf(ctx, err)
	}
	defer db.close()
	if !d.AllowSuperuser {
		if err := checkRole(ctx, db.ledger); err != nil {
			return outcomeOf(ctx, explainDatabase(err))
		}
	}
	book, err := ledger.New(db.ledger, d.schema(), config.Timing, config.Logger)
	if err != nil {
		return outcomeOf(ctx, err)
	}
	e := execution{config: config, description: d, handler: handler, database: db, log: config.Logger}
	return e.attemptUntilKept(ctx, book)
}

// execution is one call of Run.
type execution struct {
	config      Config
	description Description
	handler     Handler
	database    *database
	log         *slog.Logger
}

// attemptUntilKept attempts the run each time it acquires the lease, until it keeps
// the lease to the end or finds that the run has succeeded.
func (e execution) attemptUntilKept(ctx context.Context, book *ledger.Ledger) Outcome {
	for {
		claimed, err := book.Acquire(ctx, e.description.claim())
		if err != nil {
			return outcomeOf(ctx, acquireError(err))
		}
		if claimed.Done {
			e.log.Info("the run has succeeded before; nothing to do")
			return Outcome{Kind: Done, Result: json.RawMessage(claimed.Result)}
		}
		outcome, err := e.attempt(ctx, claimed.Lease)
		if !errors.Is(err, ledger.ErrLost) {
			return outcome
		}
		e.log.Warn("the lease was lost; everything since its last commit is rolled back", "token", claimed.Lease.Token())
	}
}

// acquireError makes permanent what another attempt can't fix.
func acquireError(err error) error {
	var superseded *ledger.SupersededError
	if errors.As(err, &superseded) {
		return Permanent(err)
	}
	return explainDatabase(err)
}

// attempt runs the handler under a lease and records the outcome. Its error is
// ledger.ErrLost or nil.
func (e execution) attempt(ctx context.Context, lease *ledger.Lease) (Outcome, error) {
	e.log.Info("attempt started", "token", lease.Token())
	s := &session{
		description: e.description, log: e.log, pool: e.database.handlers, inTx: e.handler.inTx,
		lease: lease, checkpoint: lease.Checkpoint(),
	}
	err := e.work(ctx, s)
	if err == nil {
		return Outcome{Kind: Done, Result: s.finalResult()}, nil
	}
	var stuck *stuckError
	isStuck := errors.As(err, &stuck)
	if errors.Is(err, ledger.ErrLost) && !isStuck {
		return Outcome{}, ledger.ErrLost
	}
	outcome := outcomeOf(ctx, explainDatabase(err))
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	recordErr := lease.End(recording, outcome.recorded(), "", newRedactor(e.description.DatabaseURL).text(outcome.Error))
	if errors.Is(recordErr, ledger.ErrLost) && !isStuck && ctx.Err() == nil {
		return Outcome{}, ledger.ErrLost
	}
	if recordErr != nil {
		e.log.Warn("could not record the outcome in the ledger", "error", explainDatabase(recordErr).Error())
	}
	return outcome, nil
}
