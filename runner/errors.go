package runner

import (
	"errors"
	"fmt"
	"time"
)

// errTimeout is the cause by which a run's context ends when its time ran out.
var errTimeout = errors.New("the time ran out")

// errInterrupted is the cause by which a process that was told to end (SIGTERM)
// ends its run.
var errInterrupted = errors.New("interrupted")

// permanentError is a failure that trying again does not mend.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent says that trying again is useless: the job fails for good, whatever
// its retry policy (exit code 65). The text of err is shown to people.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// laterError is a failure whose next attempt has a time.
type laterError struct {
	err   error
	delay time.Duration
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// RetryAfter says that the next attempt should come after delay instead of the
// retry policy's (exit code 75). It counts as an attempt. A negative delay is 0.
func RetryAfter(err error, delay time.Duration) error {
	if err == nil {
		return nil
	}
	return &laterError{err: err, delay: max(0, delay)}
}

// usageError is a run that cannot start as it was described: no handler of that
// name, arguments that don't fit, a database URL that is none.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// panicError is what is left of a handler that panicked. The stack is for the log.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// stuckError is a handler that goes on although its context has ended.
type stuckError struct {
	cause error
	after time.Duration
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("%s, and the handler had not returned %s later", e.cause, e.after)
}

func (e *stuckError) Unwrap() error { return e.cause }
