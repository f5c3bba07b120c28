package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
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

// conclude ends an attempt as its Job ended. A success counts even when the attempt was
// being stopped: its transaction has committed.
func conclude(attempt *v1alpha1.Attempt, seen *runnerjob.End) {
	attempt.ExitCode = seen.ExitCode
	if seen.Succeeded {
		end(attempt, v1alpha1.OutcomeSucceeded, "", seen.At.Time)
		return
	}
	// If it was being stopped, the reason for that counts, not the exit code.
	end(attempt, cmp.Or(attempt.Outcome, outcomeOf(seen)), cmp.Or(attempt.Error, seen.Error), seen.At.Time)
}

// outcomeOf reads the runner contract's exit codes.
func outcomeOf(seen *runnerjob.End) v1alpha1.AttemptOutcome {
	if seen.Reason == "DeadlineExceeded" {
		return v1alpha1.OutcomeTimedOut
	}
	if seen.Reason == v1alpha1.ReasonFenceMissing {
		return v1alpha1.OutcomeNotStarted
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
	attempt.Error = report.Clip(message, maxError)
	attempt.FinishedAt = new(metav1.NewTime(at))
}

// describe returns which attempt ended, and how.
func describe(attempt *v1alpha1.Attempt) string {
	words := map[v1alpha1.AttemptOutcome]string{
		v1alpha1.OutcomeSucceeded: "succeeded", v1alpha1.OutcomeTimedOut: "timed out", v1alpha1.OutcomeInterrupted: "was interrupted",
		v1alpha1.OutcomeNotStarted: "did not start", v1alpha1.OutcomeLost: "was lost", v1alpha1.OutcomeCancelled: "was cancelled",
		v1alpha1.OutcomePermanentFailure: "failed permanently", v1alpha1.OutcomeReplaced: "was replaced",
	}
	text := fmt.Sprintf("attempt %d %s", attempt.Number, cmp.Or(words[attempt.Outcome], "failed"))
	if attempt.ExitCode != nil && *attempt.ExitCode != 0 {
		text += fmt.Sprintf(" (exit code %d)", *attempt.ExitCode)
	}
	if attempt.Error != "" {
		text += ": " + attempt.Error
	}
	return text
}

// resultOf returns the runner's result as the API server can store it: nil for none, or for
// JSON that it would refuse (a number out of range, a bare null).
func resultOf(raw json.RawMessage) *apiextensionsv1.JSON {
	var value any
	if json.Unmarshal(raw, &value) != nil || value == nil {
		return nil
	}
	return &apiextensionsv1.JSON{Raw: raw}
}
