package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/conditions"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	// maxAttempts is how many attempts the status keeps.
	maxAttempts = 20
	// maxNumber is the last attempt number that fits behind a name of 58
	// characters within a Job name's 63.
	maxNumber = 9999
	// maxError is the length of an attempt's error in the status, in bytes.
	maxError = 1024

	// Defaults of the API, for objects that were made before their schema had
	// them.
	defaultRetryLimit = 10
	defaultMinDelay   = 15 * time.Second
	defaultMaxDelay   = 2 * time.Hour
	defaultFactor     = 2
)

// runOf reads the run's number from a Job that the operator made.
func runOf(child *batchv1.Job, fallback int32) int32 {
	run, err := strconv.ParseInt(child.Annotations[v1alpha1.AnnotationRun], 10, 32)
	if err != nil || run < 1 {
		return fallback
	}
	return int32(run)
}

// record appends an attempt and drops the oldest ones.
func record(status *v1alpha1.WorkspaceJobStatus, attempt v1alpha1.Attempt) {
	status.RunAttempts++
	status.Attempts = append(status.Attempts, attempt)
	if over := len(status.Attempts) - maxAttempts; over > 0 {
		status.Attempts = status.Attempts[over:]
	}
}

// newRun clears what belonged to the run before; its attempts stay as history.
func newRun(status *v1alpha1.WorkspaceJobStatus, run int32) {
	status.Run = run
	status.RunAttempts = 0
	status.State = ""
	status.EnqueuedAt, status.StartedAt, status.FinishedAt, status.NextAttemptAt = nil, nil, nil, nil
	status.Result = nil
	status.Parents = nil
}

// settle ends an attempt as its Job ended. A success counts even when the attempt
// was being stopped: its transaction has committed.
func settle(attempt *v1alpha1.Attempt, seen *runnerjob.End) {
	attempt.ExitCode = seen.ExitCode
	if seen.Succeeded {
		end(attempt, v1alpha1.OutcomeSucceeded, "", seen.At.Time)
		return
	}
	// One that was being stopped ended for the reason for which it was stopped.
	end(attempt, cmp.Or(attempt.Outcome, outcomeOf(seen)), cmp.Or(attempt.Error, seen.Error), seen.At.Time)
}

// outcomeOf reads the runner contract's exit codes.
func outcomeOf(seen *runnerjob.End) v1alpha1.AttemptOutcome {
	if seen.Reason == "DeadlineExceeded" {
		return v1alpha1.OutcomeTimedOut
	}
	if seen.ExitCode == nil {
		return v1alpha1.OutcomeFailed
	}
	switch *seen.ExitCode {
	case contract.ExitUsage, contract.ExitPermanent:
		return v1alpha1.OutcomePermanentFailure
	case contract.ExitTimeout:
		return v1alpha1.OutcomeTimedOut
	case contract.ExitInterrupted:
		return v1alpha1.OutcomeInterrupted
	default:
		return v1alpha1.OutcomeFailed
	}
}

func end(attempt *v1alpha1.Attempt, outcome v1alpha1.AttemptOutcome, message string, at time.Time) {
	attempt.Outcome = outcome
	attempt.Error = conditions.Clip(message, maxError)
	attempt.FinishedAt = new(metav1.NewTime(at))
}

// describe an attempt that has ended, as the end of a sentence.
func describe(attempt *v1alpha1.Attempt) string {
	words := map[v1alpha1.AttemptOutcome]string{
		v1alpha1.OutcomeSucceeded: "succeeded", v1alpha1.OutcomeTimedOut: "timed out", v1alpha1.OutcomeInterrupted: "was interrupted",
		v1alpha1.OutcomeNotStarted: "did not start", v1alpha1.OutcomeLost: "was lost", v1alpha1.OutcomeCancelled: "was cancelled",
		v1alpha1.OutcomePermanentFailure: "failed for good", v1alpha1.OutcomeReplaced: "was replaced",
	}
	text := cmp.Or(words[attempt.Outcome], "failed")
	if attempt.ExitCode != nil && *attempt.ExitCode != 0 {
		text += fmt.Sprintf(" (exit code %d)", *attempt.ExitCode)
	}
	if attempt.Error != "" {
		text += ": " + attempt.Error
	}
	return text
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

// retryDelay before the attempt that follows `failed` failed ones: what the
// runner asked for, else minDelay·factor^(failed-1), at most maxDelay.
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
	// 0 times infinity would be no number.
	growth := min(math.Pow(factor, float64(failed-1)), math.MaxInt64)
	return time.Duration(min(low*growth, high))
}

// longestWait is how far a runner may put off its next attempt: what a tenant's
// code asks for must not overflow a date.
const longestWait = 365 * 24 * time.Hour

// resultOf is the runner's result as the API server can store it: nil for none,
// or for JSON that it would refuse (a number out of range, a bare null).
func resultOf(raw json.RawMessage) *apiextensionsv1.JSON {
	var value any
	if json.Unmarshal(raw, &value) != nil || value == nil {
		return nil
	}
	return &apiextensionsv1.JSON{Raw: raw}
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
