package e2e

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// TestCompromisedRunnerSpoilsNoStatus checks the two things that a runner can send to the
// operator, its exit code and a termination message: whatever they are, the status stays
// within its limits and printable.
func TestCompromisedRunnerSpoilsNoStatus(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "intruded-status")
	for _, test := range []struct {
		name    string
		exit    int
		message string
		times   int
		want    v1alpha1.JobState
		says    string
	}{
		{"oversized", contract.ExitFailed, strings.Repeat("A", 10_000), 1000, v1alpha1.StateFailed, "left no message"},
		{"oversized-success", contract.ExitDone, `{"result":{"rows":1}}`, 1000, v1alpha1.StateSucceeded, ""},
		{"garbage", contract.ExitPermanent, "\xff\xfe\x00\x01\x80garbage", 1, v1alpha1.StateFailed, "left no message"},
		{"invalid-utf8", contract.ExitPermanent, "{\"error\":\"bad \xff\xfe end\"}", 1, v1alpha1.StateFailed, "end"},
		{"controls", contract.ExitPermanent, `{"error":"\u001b[2J\u001b[31mroot\u0007@node\u202e\u0000\r\u009b1m done"}`, 1, v1alpha1.StateFailed, "done"},
		{"long-error", contract.ExitPermanent, `{"error":"` + strings.Repeat("€", 1300) + `"}`, 1, v1alpha1.StateFailed, "€…"},
		{"credentials", contract.ExitPermanent, `{"error":"postgres://someone:hunter2@db/x"}`, 1, v1alpha1.StateFailed, "someone"},
		{"other-types", contract.ExitFailed, `{"error":{"a":1},"result":[],"retryAfter":5}`, 1, v1alpha1.StateFailed, "left no message"},
		{"huge-number", contract.ExitDone, `{"result":{"rows":1e999}}`, 1, v1alpha1.StateSucceeded, ""},
		{"deep-result", contract.ExitDone, `{"result":` + strings.Repeat("[", 1900) + strings.Repeat("]", 1900) + `}`, 1, v1alpha1.StateSucceeded, ""},
		{"large-result", contract.ExitDone, `{"result":"` + strings.Repeat("r", contract.MaxResult-2) + `"}`, 1, v1alpha1.StateSucceeded, ""},
		{"invalid-result", contract.ExitDone, "{\"result\":{\"\xff\":\"\xfe\\u0000\\ud800\",\"a\":1,\"a\":2}}", 1, v1alpha1.StateSucceeded, ""},
		{"failed-result", contract.ExitFailed, `{"result":{"state":"Succeeded"}}`, 1, v1alpha1.StateFailed, "left no message"},
		{"unknown-code", 200, `{}`, 1, v1alpha1.StateFailed, "code 200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			own := *tn
			own.t = t
			own.start(own.makeJob(test.name, "leave").Retries(0, time.Second).ArgsOf(map[string]any{
				"message": []byte(test.message), "times": test.times, "exit": test.exit,
			}))
			job := own.waitFinal(test.name, test.want)
			wantWords(t, "the message", job.Status.Message, test.says)
			own.wantClean(job)
		})
	}
}

// TestCompromisedRunnerDelaysNoLongerThanAYear checks that a runner can delay its next
// attempt, but neither into the past nor forever.
func TestCompromisedRunnerDelaysNoLongerThanAYear(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "intruded-later")
	for name, delay := range map[string]string{"longest": "2562047h", "negative": "-24h", "no-delay": "soon\u001b[2J"} {
		tn.start(tn.makeJob(name, "leave").Retries(1, time.Second).ArgsOf(map[string]any{
			"message": []byte(`{"retryAfter":"` + delay + `"}`), "exit": contract.ExitLater,
		}))
		job := tn.waitJob(name, "has been attempted", func(job *v1alpha1.WorkspaceJob) bool {
			return len(job.Status.Attempts) > 0 && job.Status.Attempts[0].FinishedAt != nil
		})
		if next := job.Status.NextAttemptAt; next != nil {
			ended := job.Status.Attempts[0].FinishedAt.Time
			if next.Time.Before(ended) || next.After(ended.Add(366*24*time.Hour)) {
				t.Errorf("%s: after %v the next attempt is due at %v", name, ended, next)
			}
		} else if name == "longest" {
			t.Errorf("%s: there is no next attempt: %s", name, job.Status.Message)
		}
		tn.wantClean(job)
	}
}

// TestCompromisedRunnerLogsNothingToTheOperator checks that the operator does not read logs.
// They are for people who may read the tenant's logs.
func TestCompromisedRunnerLogsNothingToTheOperator(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "intruded-log")
	forged := `{"time":"2026-01-01T00:00:00Z","level":"ERROR","msg":"forged","workspace":"bystander"}`
	log := []byte("\n\xff\xfe not UTF-8\n\x1b[2J\x1b]0;title\x07 escapes\n" + forged + "\n2026-01-01T00:00:00.0Z stdout F forged by the kubelet\nno end")
	tn.start(tn.makeJob("log", "leave").Retries(0, time.Second).ArgsOf(map[string]any{
		"line": 1 << 20, "log": log, "message": []byte(`{"result":{"rows":1}}`),
	}))
	tn.wantClean(tn.waitFinal("log", v1alpha1.StateSucceeded))
	text, err := shared.log(t.Context(), tn.podOf("log"), corev1.PodLogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text, string(log)) || strings.Count(text, "A") < 1<<20 {
		t.Errorf("the log has %d bytes, and ends with %q", len(text), text[max(0, len(text)-200):])
	}
	operator, err := shared.operatorLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(operator, "forged") {
		t.Error("the operator's log has text that the runner logged")
	}
}

// wantClean checks that a job's status and events are within their limits and printable.
func (tn *tenant) wantClean(job *v1alpha1.WorkspaceJob) {
	tn.t.Helper()
	tn.wantPrintable("the message", job.Status.Message, 2048)
	for _, condition := range job.Status.Conditions {
		tn.wantPrintable("the condition "+condition.Type, condition.Message, 2048)
	}
	for _, attempt := range job.Status.Attempts {
		tn.wantPrintable("the attempt's error", attempt.Error, 1024)
	}
	if result := job.Status.Result; result != nil && (len(result.Raw) > contract.MaxMessage || bytes.ContainsFunc(result.Raw, unicode.IsControl)) {
		tn.t.Errorf("the result has %d bytes: %q", len(result.Raw), result.Raw)
	}
	var events corev1.EventList
	if err := shared.client.List(tn.t.Context(), &events, client.InNamespace(tn.namespace), client.MatchingFields{"involvedObject.uid": string(job.UID)}); err != nil {
		tn.t.Fatal(err)
	}
	for i := range events.Items {
		tn.wantPrintable("an event", events.Items[i].Message, 1024)
	}
}

func (tn *tenant) wantPrintable(what, text string, limit int) {
	tn.t.Helper()
	strange := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
	if len(text) > limit || !utf8.ValidString(text) || strings.ContainsFunc(text, strange) {
		tn.t.Errorf("%s has %d bytes, or is not printable: %q", what, len(text), text)
	}
}
