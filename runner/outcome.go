package runner

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// Kind is how an attempt ended.
type Kind int

// Kinds of an [Outcome].
const (
	// Done means that the run has taken effect, in this or an earlier attempt.
	Done Kind = iota
	// Failed means that another attempt may succeed.
	Failed
	// Refused means that nothing ran: there is no such handler, or the description is
	// invalid.
	Refused
	// PermanentFailure means that no retry can succeed.
	PermanentFailure
	// Later means that the next attempt should come after Outcome.RetryAfter.
	Later
	// TimedOut means that the run's time ran out. What was not committed is undone.
	TimedOut
	// Interrupted means that the process was asked to stop. What was not committed is
	// undone.
	Interrupted
)

// Outcome is how an attempt ended.
type Outcome struct {
	Kind Kind
	// Result is JSON of at most contract.MaxResult bytes, or empty. Only for Done.
	Result json.RawMessage
	// Error says, for people and without secrets, what went wrong. Empty for Done.
	Error string
	// RetryAfter is at least 0. Only for Later.
	RetryAfter time.Duration
}

// ExitCode returns the process's exit code, as the runner contract defines it.
func (o Outcome) ExitCode() int {
	switch o.Kind {
	case Done:
		return contract.ExitDone
	case Refused:
		return contract.ExitUsage
	case PermanentFailure:
		return contract.ExitPermanent
	case Later:
		return contract.ExitLater
	case TimedOut:
		return contract.ExitTimeout
	case Interrupted:
		return contract.ExitInterrupted
	default:
		return contract.ExitFailed
	}
}

// Message returns the termination message, as the runner contract defines it.
func (o Outcome) Message() contract.Message {
	message := contract.Message{Result: o.Result, Error: o.Error}
	if o.Kind == Later {
		message.RetryAfter = o.RetryAfter.String()
	}
	return message
}

// outcomeOf returns the outcome of an attempt that ended with err. If ctx has ended,
// its cause decides, since an error that the handler returns then is a consequence.
func outcomeOf(ctx context.Context, err error) Outcome {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		text := cause.Error()
		var stuck *stuckError
		if errors.As(err, &stuck) {
			text = stuck.Error()
		}
		if errors.Is(cause, errTimeout) {
			return Outcome{Kind: TimedOut, Error: text}
		}
		return Outcome{Kind: Interrupted, Error: text}
	}
	var (
		usage     *usageError
		permanent *permanentError
		later     *laterError
	)
	switch {
	case err == nil:
		return Outcome{Kind: Done}
	case errors.As(err, &usage):
		return Outcome{Kind: Refused, Error: err.Error()}
	case errors.As(err, &permanent):
		return Outcome{Kind: PermanentFailure, Error: err.Error()}
	case errors.As(err, &later):
		return Outcome{Kind: Later, Error: err.Error(), RetryAfter: later.delay}
	default:
		return Outcome{Kind: Failed, Error: err.Error()}
	}
}

// recorded returns the outcome as the ledger stores it.
func (o Outcome) recorded() ledger.Outcome {
	switch o.Kind {
	case Done:
		return ledger.Succeeded
	case PermanentFailure, Refused:
		return ledger.PermanentFailure
	case Later:
		return ledger.Later
	case TimedOut:
		return ledger.TimedOut
	case Interrupted:
		return ledger.Interrupted
	default:
		return ledger.Failed
	}
}
