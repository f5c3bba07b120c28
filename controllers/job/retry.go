package job

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// Defaults of the API, for objects that are older than these defaults in the schema.
const (
	defaultRetryLimit = 10
	defaultMinDelay   = 15 * time.Second
	defaultMaxDelay   = 2 * time.Hour
	defaultFactor     = 2
)

// longestWait is how far a runner may put off its next attempt, so that no delay that a
// tenant's code asks for overflows a date.
const longestWait = 365 * 24 * time.Hour

// numbersUsedUp says what to do when no attempt number is left, not even for a requeue.
var numbersUsedUp = fmt.Sprintf("this WorkspaceJob has used up its %d attempt numbers: create another one", maxNumber)

// afterAttempt decides what follows the attempt that has just ended.
func afterAttempt(o observed, d *decision, last *v1alpha1.Attempt) {
	at := endOf(o, d, last)
	ended := describe(last)
	reason, why := noRetry(o, d, last)
	switch {
	case last.Outcome == v1alpha1.OutcomeSucceeded:
		if o.seen.End != nil {
			d.status.Result = resultOf(o.seen.End.Message.Result)
		}
		finish(d, v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded, ended, at)
	case last.Outcome == v1alpha1.OutcomeCancelled || o.job.Spec.Cancelled && reason != "":
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, ended, at)
	case last.Outcome == v1alpha1.OutcomeReplaced:
		finish(d, v1alpha1.StateDeleted, v1alpha1.ReasonReplaced, ended, at)
	case reason != "":
		finish(d, v1alpha1.StateFailed, reason, ended+why, at)
	default:
		next := metav1.NewTime(at.Add(retryDelay(o, d.status.RunAttempts)).Round(time.Second))
		d.status.NextAttemptAt = &next
		enter(&d.status, v1alpha1.StateScheduled, v1alpha1.ReasonRetryScheduled, retryMessage(o, d, next.Time), o.now)
	}
}

// retryMessage says how the latest attempt ended, and when the next one is due.
func retryMessage(o observed, d *decision, next time.Time) string {
	return fmt.Sprintf("%s; retry %d of %d is due at %s", describe(d.status.Attempt(0)), d.status.RunAttempts, retryLimit(o), stamp(next))
}

// endOf returns when the attempt ended. Its node's clock says so and may be wrong, but the end
// came after the run was due and before now. Otherwise a requeued run could seem to have ended
// before requeueAt, and would be requeued again, or a retry could be put off for hours.
func endOf(o observed, d *decision, last *v1alpha1.Attempt) time.Time {
	at := last.FinishedAt.Time
	if at.After(o.now) {
		at = o.now
	}
	if at.Before(last.CreatedAt.Time) {
		at = last.CreatedAt.Time
	}
	if due := d.status.EnqueuedAt; due != nil && at.Before(due.Time) {
		at = due.Time
	}
	return at
}

// noRetry returns the reason why no attempt follows the one that has failed, and what to add
// to the message. The reason is "" if one may follow.
func noRetry(o observed, d *decision, last *v1alpha1.Attempt) (reason, why string) {
	switch {
	case last.Outcome == v1alpha1.OutcomePermanentFailure:
		return permanentReason(last), ""
	case last.Number >= maxNumber:
		return v1alpha1.ReasonRetriesExhausted, "; " + numbersUsedUp
	case d.status.RunAttempts > retryLimit(o):
		return v1alpha1.ReasonRetriesExhausted, fmt.Sprintf("; no attempt is left after %d", d.status.RunAttempts)
	default:
		return "", ""
	}
}

func permanentReason(last *v1alpha1.Attempt) string {
	if last.ExitCode != nil && *last.ExitCode == contract.ExitUsage {
		return v1alpha1.ReasonInvalidArguments
	}
	return v1alpha1.ReasonPermanentFailure
}

func retryLimit(o observed) int32 {
	if retry := o.template().Retry; retry != nil && retry.Limit != nil {
		return *retry.Limit
	}
	return defaultRetryLimit
}

// retryDelay returns the delay before the next attempt after this number of failed ones:
// what the runner asked for, or else minDelay·factor^(failed-1), at most maxDelay.
func retryDelay(o observed, failed int32) time.Duration {
	if end := o.seen.End; end != nil && end.ExitCode != nil && *end.ExitCode == contract.ExitLater {
		if asked, ok := end.Message.Delay(); ok {
			return min(asked, longestWait)
		}
	}
	low, high, factor := float64(defaultMinDelay), float64(defaultMaxDelay), float64(defaultFactor)
	if retry := o.template().Retry; retry != nil {
		if retry.MinDelay != nil {
			low = float64(retry.MinDelay.Duration)
		}
		if retry.MaxDelay != nil {
			high = float64(retry.MaxDelay.Duration)
		}
		if retry.Factor != nil {
			factor = float64(*retry.Factor)
		}
	}
	// Bounded, because 0 times infinity is NaN.
	growth := min(math.Pow(factor, float64(failed-1)), math.MaxInt64)
	return time.Duration(min(low*growth, high))
}
