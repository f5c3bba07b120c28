package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	oneOfTheTwo     = "set handler, or recurringJobRef to run a recurring job's template now: one of the two"
	fromTheTemplate = "a job with recurringJobRef takes args, concurrencyKey, retry, timeout and resources from the recurring job's template: remove them here"
)

// triggered returns the overlay of a triggered run with these fields.
func triggered(fields string) string {
	return `spec: {handler: null, recurringJobRef: {name: nightly}, ` + fields + `}`
}

// noDuration returns the error for a value that is not a duration.
func noDuration(field, value string) string {
	return fmt.Sprintf("%s: Invalid value: %q: must be a duration such as 90s or 1h30m, at most 87600h (ten years)", field, value)
}

// TestABadDurationIsExplainedOnce checks that the rules of fields with narrower bounds leave a
// value that is not a duration to the rule of all durations.
func TestABadDurationIsExplainedOnce(t *testing.T) {
	t.Parallel()
	a := connect(t)
	for _, value := range []string{"7d", "3600", "1h 30m", "-5m", "1e3s", "tomorrow"} {
		for field, u := range map[string]*unstructured.Unstructured{
			"spec.timeout":          object(t, minimalJob, `spec: {timeout: "`+value+`"}`),
			"spec.startingDeadline": object(t, minimalRecurring, `spec: {startingDeadline: "`+value+`"}`),
		} {
			err := a.create(u)
			refused(t, err, noDuration(field, value))
			if err != nil && strings.Count(err.Error(), "Invalid value") != 1 {
				t.Errorf("%s = %s is refused more than once: %v", field, value, err)
			}
		}
	}
}

func manyParents(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("{name: p%d}", i))
	}
	return strings.Join(list, ", ")
}

func TestWorkspaceJobValidation(t *testing.T) {
	t.Parallel()
	check(t, minimalJob, []validation{
		{"a name's length", `metadata: {name: ` + strings.Repeat("n", 58) + `}`, `metadata: {name: ` + strings.Repeat("n", 59) + `}`,
			"a WorkspaceJob's name must be at most 58 characters long"},
		{"a name's form", `metadata: {name: a-1-b}`, `metadata: {name: a.b}`, "a WorkspaceJob's name must be a DNS label"},
		{"handler", `spec: {handler: close-sessions.v2}`, `spec: {handler: "rm -rf"}`, "spec.handler in body should match"},
		{"handler or recurringJobRef", triggered(``), `spec: {handler: null}`, oneOfTheTwo},
		{"handler without recurringJobRef", ``, `spec: {recurringJobRef: {name: nightly}}`, oneOfTheTwo},
		{"a triggered run's own fields", triggered(`priority: 5, ttlAfterFinished: 1h, delay: 5m, after: [{name: a}]`), triggered(`args: {}`), fromTheTemplate},
		{"a triggered run's concurrencyKey", triggered(`cancelled: true`), triggered(`concurrencyKey: a`), fromTheTemplate},
		{"a triggered run's retry", triggered(`runAt: "2026-01-01T00:00:00Z"`), triggered(`retry: {}`), fromTheTemplate},
		{"a triggered run's timeout", triggered(`requeueAt: "2026-01-01T00:00:00Z"`), triggered(`timeout: 1h`), fromTheTemplate},
		{"a triggered run's resources", triggered(`priority: 0`), triggered(`resources: {}`), fromTheTemplate},
		{"recurringJobRef.name is needed", triggered(``), `spec: {handler: null, recurringJobRef: {}}`, "spec.recurringJobRef.name: Required value"},
		{"recurringJobRef.name's length", `spec: {handler: null, recurringJobRef: {name: ` + strings.Repeat("n", 46) + `}}`, `spec: {handler: null, recurringJobRef: {name: ` + strings.Repeat("n", 47) + `}}`,
			"spec.recurringJobRef.name: Too long: may not be more than 46"},
		{"recurringJobRef.name's form", triggered(``), `spec: {handler: null, recurringJobRef: {name: Nightly}}`, "spec.recurringJobRef.name in body should match"},
		{"priority's least", `spec: {priority: -1000}`, `spec: {priority: -1001}`, "spec.priority in body should be greater than or equal to -1000"},
		{"priority's most", `spec: {priority: 1000}`, `spec: {priority: 1001}`, "spec.priority in body should be less than or equal to 1000"},
		{"priority is a number", `spec: {priority: 0}`, `spec: {priority: "5"}`, "spec.priority in body must be of type integer"},
		{"concurrencyKey is not empty", `spec: {concurrencyKey: "billing: a/b é"}`, `spec: {concurrencyKey: ""}`, "spec.concurrencyKey in body should be at least 1 chars long"},
		{"concurrencyKey's length", `spec: {concurrencyKey: ` + strings.Repeat("k", 253) + `}`, `spec: {concurrencyKey: ` + strings.Repeat("k", 254) + `}`, "spec.concurrencyKey: Too long"},
		{"after itself", `{metadata: {name: narcissus}, spec: {after: [{name: echo}]}}`, `{metadata: {name: narcissus}, spec: {after: [{name: echo}, {name: narcissus}]}}`,
			"after must not name the job itself"},
		{"after one parent twice", `spec: {after: [{name: a}, {name: b, when: Failed}]}`, `spec: {after: [{name: a}, {name: a, when: Failed}]}`, `spec.after[1]: Duplicate value: {"name":"a"}`},
		{"after.name is needed", `spec: {after: []}`, `spec: {after: [{when: Failed}]}`, "spec.after[0].name: Required value"},
		{"after.name's length", `spec: {after: [{name: ` + strings.Repeat("n", 58) + `}]}`, `spec: {after: [{name: ` + strings.Repeat("n", 59) + `}]}`, "spec.after[0].name: Too long"},
		{"after.name's form", `spec: {after: [{name: a-1}]}`, `spec: {after: [{name: a.b}]}`, "spec.after[0].name in body should match"},
		{"after.when", `spec: {after: [{name: a, when: Deleted}, {name: b, when: Finished}, {name: c, when: Succeeded}]}`, `spec: {after: [{name: a, when: Processing}]}`,
			`spec.after[0].when: Unsupported value: "Processing": supported values: "Succeeded", "Failed", "Deleted", "Finished"`},
		{"after's number", `spec: {after: [` + manyParents(32) + `]}`, `spec: {after: [` + manyParents(33) + `]}`, "spec.after: Too many: 33: must have at most 32 items"},
		{"args are an object", `spec: {args: {a: {b: [1]}}}`, `spec: {args: [1]}`, "spec.args in body must be of type object"},
		{"args are no text", `spec: {args: {}}`, `spec: {args: "{}"}`, "spec.args in body must be of type object"},
		{"delay or runAt", `spec: {delay: 1h}`, `spec: {delay: 1h, runAt: "2026-01-01T00:00:00Z"}`,
			"delay and runAt exclude each other: set one of them, or neither to run now"},
		{"delay is not negative", `spec: {delay: 0s}`, `spec: {delay: "-1s"}`, noDuration("spec.delay", "-1s")},
		{"delay is not too long", `spec: {delay: 87600h}`, `spec: {delay: 87600h1s}`, "at most 87600h (ten years)"},
		{"delay is a duration", `spec: {delay: 1h30m}`, `spec: {delay: tomorrow}`, noDuration("spec.delay", "tomorrow")},
		{"delay has a unit", `spec: {delay: 1.5h}`, `spec: {delay: "90"}`, noDuration("spec.delay", "90")},
		{"runAt has a zone", `spec: {runAt: "2026-01-01T00:00:00+02:00"}`, `spec: {runAt: "2026-01-01T00:00:00"}`, "spec.runAt"},
		{"runAt is a time", `spec: {runAt: "2028-02-29T23:59:59.5Z"}`, `spec: {runAt: "2026-02-30T00:00:00Z"}`, "spec.runAt"},
		{"runAt's zone exists", `spec: {runAt: "2026-01-01T00:00:00-12:00"}`, `spec: {runAt: "2026-01-01T00:00:00+99:99"}`, "spec.runAt"},
		{"runAt's case", `spec: {runAt: "2026-01-01T00:00:00Z"}`, `spec: {runAt: "2026-01-01t00:00:00z"}`, "spec.runAt"},
		{"requeueAt has a zone", `spec: {requeueAt: "2026-01-01T00:00:00Z"}`, `spec: {requeueAt: "2026-01-01T00:00:00"}`, "spec.requeueAt"},
		{"timeout is not negative", `spec: {timeout: 1s}`, `spec: {timeout: "-5m"}`, noDuration("spec.timeout", "-5m")},
		{"timeout is not zero", `spec: {timeout: 1000ms}`, `spec: {timeout: 0s}`, `spec.timeout: Invalid value: "0s": must be between 1s and 8760h (a year)`},
		{"timeout is not too long", `spec: {timeout: 8760h}`, `spec: {timeout: 8761h}`, "must be between 1s and 8760h (a year)"},
		{"ttlAfterFinished", `spec: {ttlAfterFinished: 0s}`, `spec: {ttlAfterFinished: "-1h"}`, noDuration("spec.ttlAfterFinished", "-1h")},
		{"retry.limit's least", `spec: {retry: {limit: 0}}`, `spec: {retry: {limit: -1}}`, "spec.retry.limit in body should be greater than or equal to 0"},
		{"retry.limit's most", `spec: {retry: {limit: 100}}`, `spec: {retry: {limit: 101}}`, "spec.retry.limit in body should be less than or equal to 100"},
		{"retry.factor", `spec: {retry: {factor: 1}}`, `spec: {retry: {factor: 0}}`, "spec.retry.factor in body should be greater than or equal to 1"},
		{"retry.minDelay", `spec: {retry: {minDelay: 1ms}}`, `spec: {retry: {minDelay: "-1s"}}`, noDuration("spec.retry.minDelay", "-1s")},
		{"retry.maxDelay", `spec: {retry: {maxDelay: 8760h}}`, `spec: {retry: {maxDelay: 8761h}}`, `spec.retry.maxDelay: Invalid value: "8761h": must be at most 8760h (a year)`},
		{"retry's delays", `spec: {retry: {minDelay: 1m, maxDelay: 1m}}`, `spec: {retry: {minDelay: 3h}}`, "retry.minDelay must not be longer than retry.maxDelay"},
		{"resources' names", `spec: {resources: {requests: {cpu: 1, memory: 1Gi, ephemeral-storage: 1Gi}}}`, `spec: {resources: {requests: {"nvidia.com/gpu": 1}}}`,
			"only cpu, memory and ephemeral-storage can be set"},
		{"resources' quantities", `spec: {resources: {limits: {cpu: 500m, memory: 256Mi}}}`, `spec: {resources: {limits: {memory: "1e9999999999"}}}`,
			"each must be a quantity such as 500m or 256Mi"},
		{"a quantity is not costly to read", `spec: {resources: {limits: {memory: 123456789012345678Ki}}}`, `spec: {resources: {limits: {memory: "1e-9999999999"}}}`, "each must be a quantity such as 500m or 256Mi"},
		{"resources are not negative", `spec: {resources: {limits: {memory: 1}}}`, `spec: {resources: {limits: {memory: "-1"}}}`, "each must be a quantity such as 500m or 256Mi"},
		{"requests are not negative", `spec: {resources: {requests: {cpu: "0"}}}`, `spec: {resources: {requests: {cpu: -1}}}`, "each must be a quantity such as 500m or 256Mi"},
		{"a request fits its limit", `spec: {resources: {requests: {memory: 1Gi}, limits: {memory: 1024Mi}}}`, `spec: {resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}`,
			"a request must not be larger than its limit"},
	})
}

func TestWorkspaceJobImmutability(t *testing.T) {
	t.Parallel()
	fixed := "can't change once the job exists: create another WorkspaceJob, or delete this one and create it again"
	checkChanges(t, minimalJob, []change{
		{"handler", ``, `spec: {handler: report}`, "handler " + fixed},
		{"args", `spec: {args: {a: 1}}`, `spec: {args: {a: 2}}`, "args " + fixed},
		{"args are added", ``, `spec: {args: {}}`, "args " + fixed},
		{"args are removed", `spec: {args: {a: 1}}`, `spec: {args: null}`, "args " + fixed},
		{"args deep down", `spec: {args: {a: {b: [1, 2]}}}`, `spec: {args: {a: {b: [1, 3]}}}`, "args " + fixed},
		{"delay", `spec: {delay: 1h}`, `spec: {delay: 2h}`, "to run it at another time set cancelled and create another WorkspaceJob; to run it again set requeueAt"},
		{"delay is added", ``, `spec: {delay: 2h}`, "to run it again set requeueAt"},
		{"delay becomes runAt", `spec: {delay: 1h}`, `spec: {delay: null, runAt: "2026-01-01T00:00:00Z"}`, "delay and runAt can't change"},
		{"runAt", `spec: {runAt: "2026-01-01T00:00:00Z"}`, `spec: {runAt: "2026-01-02T00:00:00Z"}`, "delay and runAt can't change"},
		{"runAt is removed", `spec: {runAt: "2026-01-01T00:00:00Z"}`, `spec: {runAt: null}`, "delay and runAt can't change"},
		{"retry", `spec: {retry: {limit: 1}}`, `spec: {retry: {limit: 2}}`, "retry " + fixed},
		{"retry is added", ``, `spec: {retry: {limit: 2}}`, "retry " + fixed},
		{"retry is removed", `spec: {retry: {limit: 1}}`, `spec: {retry: null}`, "retry " + fixed},
		{"timeout", `spec: {timeout: 1h}`, `spec: {timeout: 2h}`, "timeout " + fixed},
		{"timeout is added", ``, `spec: {timeout: 2h}`, "timeout " + fixed},
		{"timeout is removed", `spec: {timeout: 1h}`, `spec: {timeout: null}`, "timeout " + fixed},
		{"resources", `spec: {resources: {limits: {cpu: 1}}}`, `spec: {resources: {limits: {cpu: 2}}}`, "resources " + fixed},
		{"resources are added", ``, `spec: {resources: {limits: {cpu: 2}}}`, "resources " + fixed},
		{"resources are removed", `spec: {resources: {limits: {cpu: 1}}}`, `spec: {resources: null}`, "resources " + fixed},
		{"concurrencyKey", `spec: {concurrencyKey: a}`, `spec: {concurrencyKey: b}`, "concurrencyKey " + fixed},
		{"concurrencyKey is added", ``, `spec: {concurrencyKey: b}`, "concurrencyKey " + fixed},
		{"concurrencyKey is removed", `spec: {concurrencyKey: a}`, `spec: {concurrencyKey: null}`, "concurrencyKey " + fixed},
		{"after", `spec: {after: [{name: a}]}`, `spec: {after: [{name: b}]}`, "after " + fixed},
		{"after gets more", `spec: {after: [{name: a}]}`, `spec: {after: [{name: a}, {name: b}]}`, "after " + fixed},
		{"after waits for another end", `spec: {after: [{name: a}]}`, `spec: {after: [{name: a, when: Failed}]}`, "after " + fixed},
		{"after is added", ``, `spec: {after: [{name: b}]}`, "after " + fixed},
		{"after is removed", `spec: {after: [{name: b}]}`, `spec: {after: null}`, "after " + fixed},
		{"after in another order", `spec: {after: [{name: a}, {name: b}]}`, `spec: {after: [{name: b}, {name: a, when: Succeeded}]}`, ""},
		{"an empty after can go", `spec: {after: []}`, `spec: {after: null}`, ""},
		{"an empty after can come", ``, `spec: {after: []}`, ""},
		{"recurringJobRef", triggered(``), triggered(`recurringJobRef: {name: hourly}`), "recurringJobRef " + fixed},
		{"recurringJobRef instead of handler", ``, triggered(``), "handler " + fixed},
		{"handler instead of recurringJobRef", triggered(``), `spec: {handler: sql, recurringJobRef: null}`, "recurringJobRef " + fixed},
		{"priority can change", `spec: {priority: 1}`, `spec: {priority: 2}`, ""},
		{"priority can come", ``, `spec: {priority: 2}`, ""},
		{"priority can go", triggered(`priority: 1`), `spec: {priority: null}`, ""},
		{"cancelled can change", ``, `spec: {cancelled: true}`, ""},
		{"requeueAt can change", ``, `spec: {requeueAt: "2026-01-01T00:00:00Z"}`, ""},
		{"requeueAt can go", `spec: {requeueAt: "2026-01-01T00:00:00Z"}`, `spec: {requeueAt: null}`, ""},
		{"ttlAfterFinished can change", `spec: {ttlAfterFinished: 1h}`, `spec: {ttlAfterFinished: 2h}`, ""},
		{"durations in other words", `spec: {delay: 90m, timeout: 10m, retry: {minDelay: 60s}}`,
			`spec: {delay: 1h30m0s, timeout: 10m0s, retry: {limit: 10, minDelay: 1m0s, maxDelay: 2h0m0s, factor: 2}}`, ""},
		{"retry's delays", `spec: {retry: {minDelay: 1s}}`, `spec: {retry: {minDelay: 2s}}`, "retry " + fixed},
		{"retry's longest delay", `spec: {retry: {maxDelay: 1h}}`, `spec: {retry: {maxDelay: 2h}}`, "retry " + fixed},
		{"retry's factor", `spec: {retry: {factor: 1}}`, `spec: {retry: {factor: 2}}`, "retry " + fixed},
		{"labels can change", `spec: {args: {a: 1}, retry: {limit: 3}, delay: 1h, timeout: 1h}`, `metadata: {labels: {a: b}}`, ""},
	})
}

func TestWorkspaceJobDefaults(t *testing.T) {
	t.Parallel()
	a := connect(t)
	if err := a.create(object(t, minimalJob, `{metadata: {name: defaults}, spec: {retry: {}, after: [{name: a}]}}`)); err != nil {
		t.Fatal(err)
	}
	job := &v1alpha1.WorkspaceJob{}
	if err := a.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "defaults"}, job); err != nil {
		t.Fatal(err)
	}
	retry := job.Spec.Retry
	got := []any{*retry.Limit, retry.MinDelay.Duration.String(), retry.MaxDelay.Duration.String(), *retry.Factor, job.Spec.After[0].When, job.Status.ObservedGeneration}
	if diff := cmp.Diff([]any{int32(10), "15s", "2h0m0s", int32(2), v1alpha1.AfterSucceeded, int64(-1)}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRequeuedAfter(t *testing.T) {
	t.Parallel()
	second := func(n float64) time.Time {
		return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n * float64(time.Second)))
	}
	for name, c := range map[string]struct {
		requeueAt, finished float64
		cancelled, want     bool
	}{
		"after it finished":  {9, 8, false, true},
		"before it finished": {7, 8, false, false},
		// It was requeued at 8.1 s and ended at 8.9 s.
		"in the second in which it finished": {8.1, 8, false, false},
		"cancelled":                          {9, 8, true, false},
	} {
		job := &v1alpha1.WorkspaceJob{}
		job.Spec.RequeueAt, job.Spec.Cancelled = new(metav1.NewTime(second(c.requeueAt))), c.cancelled
		if got := job.RequeuedAfter(second(c.finished)); got.IsZero() == c.want {
			t.Errorf("%s: it is requeued at %v", name, got)
		}
	}
}
