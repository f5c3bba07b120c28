package runner

import (
	"errors"
	"fmt"
	"time"
)

// errTimeout is the cause of a run's context that ended because its time ran out.
var errTimeout = errors.New("the time ran out")

// errInterrupted is the cause of a run's context that ended because the process was
// asked to stop (SIGTERM).
var errInterrupted = errors.New("interrupted")

// permanentError is a failure that another attempt can't fix.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks err as a failure that no retry can fix: the job fails permanently,
// whatever its retry policy (exit code 65). The text of err is shown to people.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// laterError is a failure that says when to try again.
type laterError struct {
	err   error
	delay time.Duration
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// RetryAfter asks for the next attempt after delay, instead of the retry policy's
// delay (exit code 75). It counts as an attempt. A negative delay means 0.
func RetryAfter(err error, delay time.Duration) error {
	if err == nil {
		return nil
	}
	return &laterError{err: err, delay: max(0, delay)}
}

// usageError is returned for a run that can't start as described: there is no such
// handler, its arguments don't fit, or the database URL is invalid.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// panicError is a handler's panic. The stack goes to the log.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// stuckError is returned for a handler that keeps running although its context has
// ended.
type stuckError struct {
	cause error
	after time.Duration
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("%s, and the handler had not returned %s later", e.cause, e.after)
}

func (e *stuckError) Unwrap() error { return e.cause }
