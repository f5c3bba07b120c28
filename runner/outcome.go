package runner

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// Kind is how a run ended.
type Kind int

// Kinds of an [Outcome].
const (
	// Done: the run has taken effect, now or in an earlier attempt.
	Done Kind = iota
	// Failed: another attempt may succeed.
	Failed
	// Refused: no such handler, or a description that cannot be run; nothing ran.
	Refused
	// FailedForGood: the handler says that trying again is useless.
	FailedForGood
	// Later: the next attempt should come after Outcome.RetryAfter.
	Later
	// TimedOut: the run's time ran out; what was not committed is undone.
	TimedOut
	// Interrupted: the process was told to end; what was not committed is undone.
	Interrupted
)

// Outcome is what a run came to.
type Outcome struct {
	Kind Kind
	// Result is JSON of at most contract.MaxResult bytes, or empty; only of Done.
	Result json.RawMessage
	// Error is one text for a person, without secrets; not of Done.
	Error string
	// RetryAfter is at least 0; only of Later.
	RetryAfter time.Duration
}

// ExitCode is the process's exit code by the runner contract.
func (o Outcome) ExitCode() int {
	switch o.Kind {
	case Done:
		return contract.ExitDone
	case Refused:
		return contract.ExitUsage
	case FailedForGood:
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

// Message is the termination message by the runner contract.
func (o Outcome) Message() contract.Message {
	message := contract.Message{Result: o.Result, Error: o.Error}
	if o.Kind == Later {
		message.RetryAfter = o.RetryAfter.String()
	}
	return message
}

// outcomeOf tells from an error, and from why ctx ended if it has, what a run
// came to. That ctx ended counts most: what a handler answers then is a
// consequence.
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
		return Outcome{Kind: FailedForGood, Error: err.Error()}
	case errors.As(err, &later):
		return Outcome{Kind: Later, Error: err.Error(), RetryAfter: later.delay}
	default:
		return Outcome{Kind: Failed, Error: err.Error()}
	}
}

// recorded is the outcome as the ledger keeps it.
func (o Outcome) recorded() ledger.Outcome {
	switch o.Kind {
	case Done:
		return ledger.Succeeded
	case FailedForGood, Refused:
		return ledger.FailedForGood
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
