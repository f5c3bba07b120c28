package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestWorkspaceRecurringJobValidation(t *testing.T) {
	t.Parallel()
	noHandler := "template.handler is required: the name of a handler in the workspace's runner image"
	check(t, minimalRecurring, []validation{
		{"a name's length", `metadata: {name: ` + strings.Repeat("n", 46) + `}`, `metadata: {name: ` + strings.Repeat("n", 47) + `}`,
			"a WorkspaceRecurringJob's name must be at most 46 characters long, so that its runs can add the minute and their attempts a number"},
		{"a name's form", `metadata: {name: a-1-b}`, `metadata: {name: a.b}`, "a WorkspaceRecurringJob's name must be a DNS label"},
		{"schedule is needed", ``, `spec: {schedule: null}`, "spec.schedule: Required value"},
		{"schedule is not empty", `spec: {schedule: "@daily"}`, `spec: {schedule: ""}`, "spec.schedule in body should be at least 1 chars long"},
		// The operator explains a bad schedule better than a pattern could.
		{"schedule's length", `spec: {schedule: "` + strings.Repeat("x", 200) + `"}`, `spec: {schedule: "` + strings.Repeat("x", 201) + `"}`, "spec.schedule: Too long: may not be more than 200"},
		{"timeZone is not empty", `spec: {timeZone: Nowhere/At_all}`, `spec: {timeZone: ""}`, "spec.timeZone in body should be at least 1 chars long"},
		{"timeZone's length", `spec: {timeZone: ` + strings.Repeat("z", 64) + `}`, `spec: {timeZone: ` + strings.Repeat("z", 65) + `}`, "spec.timeZone: Too long"},
		{"concurrencyPolicy", `spec: {concurrencyPolicy: Queue}`, `spec: {concurrencyPolicy: Wait}`,
			`spec.concurrencyPolicy: Unsupported value: "Wait": supported values: "Forbid", "Allow", "Replace", "Queue"`},
		{"startingDeadline's least", `spec: {startingDeadline: 10s}`, `spec: {startingDeadline: 9s}`, `spec.startingDeadline: Invalid value: "9s": must be between 10s and 8760h (a year)`},
		{"startingDeadline's most", `spec: {startingDeadline: 8760h}`, `spec: {startingDeadline: 8760h1s}`, "between 10s and 8760h (a year)"},
		{"startingDeadline is a duration", `spec: {startingDeadline: 1h30m}`, `spec: {startingDeadline: "3600"}`, noDuration("spec.startingDeadline", "3600")},
		{"suspend", `spec: {suspend: true}`, `spec: {suspend: "true"}`, "spec.suspend in body must be of type boolean"},
		{"history's least", `spec: {history: {succeeded: 0, failed: 0}}`, `spec: {history: {succeeded: -1}}`, "spec.history.succeeded in body should be greater than or equal to 0"},
		{"history's most", `spec: {history: {succeeded: 100, failed: 100}}`, `spec: {history: {succeeded: 101}}`, "spec.history.succeeded in body should be less than or equal to 100"},
		{"failed history's least", `spec: {history: {}}`, `spec: {history: {failed: -1}}`, "spec.history.failed in body should be greater than or equal to 0"},
		{"failed history's most", ``, `spec: {history: {failed: 101}}`, "spec.history.failed in body should be less than or equal to 100"},
		{"template is needed", ``, `spec: {template: null}`, "spec.template: Required value"},
		{"template.handler is needed", ``, `spec: {template: {handler: null, args: {}}}`, noHandler},
		{"template.handler is not empty", ``, `spec: {template: {handler: ""}}`, "spec.template.handler in body should be at least 1 chars long"},
		{"template.handler's form", `spec: {template: {handler: close-sessions.v2}}`, `spec: {template: {handler: "rm -rf"}}`, "spec.template.handler in body should match"},
		{"template.args", `spec: {template: {args: {a: [1]}}}`, `spec: {template: {args: [1]}}`, "spec.template.args in body must be of type object"},
		{"template.priority's least", `spec: {template: {priority: -1000}}`, `spec: {template: {priority: -1001}}`, "spec.template.priority in body should be greater than or equal to -1000"},
		{"template.priority's most", `spec: {template: {priority: 1000}}`, `spec: {template: {priority: 1001}}`, "spec.template.priority in body should be less than or equal to 1000"},
		{"template.concurrencyKey", `spec: {template: {concurrencyKey: billing}}`, `spec: {template: {concurrencyKey: ""}}`, "spec.template.concurrencyKey in body should be at least 1 chars long"},
		{"template.retry", `spec: {template: {retry: {limit: 0}}}`, `spec: {template: {retry: {minDelay: 3h}}}`, "retry.minDelay must not be longer than retry.maxDelay"},
		{"template.timeout", `spec: {template: {timeout: 1h}}`, `spec: {template: {timeout: 0s}}`, `spec.template.timeout: Invalid value: "0s": must be between 1s and 8760h (a year)`},
		{"template.resources", `spec: {template: {resources: {limits: {memory: 1Gi}}}}`, `spec: {template: {resources: {limits: {"nvidia.com/gpu": 1}}}}`, "only cpu, memory and ephemeral-storage can be set"},
		{"template.ttlAfterFinished", `spec: {template: {ttlAfterFinished: 0s}}`, `spec: {template: {ttlAfterFinished: 7d}}`, noDuration("spec.template.ttlAfterFinished", "7d")},
	})
}

func TestWorkspaceRecurringJobChanges(t *testing.T) {
	t.Parallel()
	checkChanges(t, minimalRecurring, []change{
		{"everything can change", `spec: {history: {failed: 5}}`, `spec: {schedule: "@hourly", timeZone: Asia/Kolkata, concurrencyPolicy: Queue, startingDeadline: 1h, suspend: true, history: {succeeded: 1},
			template: {handler: report, args: {id: a}, priority: 5, concurrencyKey: a, retry: {limit: 1}, timeout: 1h, resources: {limits: {cpu: 1}}, ttlAfterFinished: 1h}}`, ""},
		{"everything can go", `spec: {timeZone: Asia/Kolkata, concurrencyPolicy: Queue, startingDeadline: 1h, suspend: true, template: {args: {id: a}, concurrencyKey: a}}`,
			`spec: {timeZone: null, concurrencyPolicy: null, startingDeadline: null, suspend: null, history: null, template: {args: null, concurrencyKey: null}}`, ""},
		{"the handler can't go", ``, `spec: {template: {handler: null}}`, "template.handler is required"},
	})
}

func TestWorkspaceRecurringJobDefaults(t *testing.T) {
	t.Parallel()
	for name, each := range map[string]struct {
		spec string
		want []any
	}{
		"without-history": {`{template: {retry: {}}}`, []any{"Etc/UTC", v1alpha1.PolicyForbid, int32(3), int32(3), int32(10), int64(-1)}},
		"empty-history":   {`{history: {}, template: {retry: {}}}`, []any{"Etc/UTC", v1alpha1.PolicyForbid, int32(3), int32(3), int32(10), int64(-1)}},
		"some-history": {`{history: {failed: 0}, timeZone: Asia/Kolkata, template: {retry: {limit: 0}}}`,
			[]any{"Asia/Kolkata", v1alpha1.PolicyForbid, int32(3), int32(0), int32(0), int64(-1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := connect(t)
			u := object(t, minimalRecurring, `{metadata: {name: `+name+`}, spec: `+each.spec+`}`)
			if err := a.create(u); err != nil {
				t.Fatal(err)
			}
			wrj := &v1alpha1.WorkspaceRecurringJob{}
			if err := a.Get(t.Context(), client.ObjectKeyFromObject(u), wrj); err != nil {
				t.Fatal(err)
			}
			spec := wrj.Spec
			got := []any{spec.TimeZone, spec.ConcurrencyPolicy, *spec.History.Succeeded, *spec.History.Failed, *spec.Template.Retry.Limit, wrj.Status.ObservedGeneration}
			if diff := cmp.Diff(each.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
