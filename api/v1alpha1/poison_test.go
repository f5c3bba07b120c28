package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Values, in YAML, that a schema might accept and a Go type refuse, or the other way round.
const (
	nastyQuantities = `["1e9999999999", "1e-9999999999", "1E", "0x10", 1.5, 1.0, -1, "9223372036854775808", 9223372036854775808,
		18446744073709551616, 1e30, "+5", ".5", "5.", "1e-400", "1Ki1", "", " 1", "NaN", "1_000", "0.0000000000000000001",
		"99999999999999999999", "1e18", "-0", true, null, {}, [1]]`
	nastyDurations = `["1e3s", "1d", "", "-1s", "1h1h", "99999999999h", "999999999h", "2562048h", "87600h", "0.0000000001s", "1.s", ".5s",
		"+1s", "1µs", "1us", "1ns", "1h 1m", "infinity", "0", "1000000000h1000000000h", "0.999999999h0.999999999h",
		1, 1.5, null, "999999999ms", "87599h59m59.999999999s", "１s"]`
	nastyTimes = `["2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T23:59:60Z", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00-99:99",
		"2026-01-01T00:00:00+14:60", "2026-01-01T00:00:00-00:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "10000-01-01T00:00:00Z",
		"2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00,5Z", "2026-01-01t00:00:00z", "2026-01-01T0:0:0Z", "2026-01-01", "now", "", 1767225600, null,
		"2026-01-01T00:00:00+0200", "2026-06-31T00:00:00Z", "2025-02-29T00:00:00Z", "2026-00-00T00:00:00Z", "２026-01-01T00:00:00Z"]`
	nastyInts      = `[1.0, 1e2, 1.5, 2147483647, 2147483648, -2147483649, 4294967296, 9223372036854775808, "5", "", true, null, 1e400, -0.0]`
	nastyBools     = `["true", 1, 0, null, [], "yes"]`
	nastyTexts     = `[1, true, null, "", " ", "\u0000", "a\nb", {}, [], "héllo", "é"]`
	nastyThings    = `[null, [], {}, "", 1, [null], [{}], {"a": null}, [[]], [""], [1]]`
	nastyPorts     = `[0, 65536, -1, 1.0, 1.5, 2147483648, 9223372036854775808, "http", "", true, null, "80", 1e3]`
	nastySchedules = `["@every 1s", "* * * * * *", "60 * * * *", "0 0 31 2 *", "TZ=UTC * * * * *", "CRON_TZ=Nowhere/At_all * * * * *", "H(5-1) * * * *", "H/0 * * * *",
		"99999999999999999999 * * * *", "0 2 * * *\n", "é * * * *", "*/0 * * * *", "@yearly", "@reboot"]`
	nastyZones = `["Local", "../../etc/passwd", "/etc/localtime", "UTC+5", "asia/kolkata", "Asia/Kolkata\u0000", "EST5EDT4,M3.2.0,M11.1.0"]`
	nastyJSON  = `[null, {}, {"a": null}, {"a": 1e400}, {"a": 123456789012345678901234567890}, {"a": 1.0}, {"": ""}, {"a": "\u0000"}, [], "", 1, {"a": {"b": {"c": [[[[]]]]}}}]`
)

// TestWhatTheSchemaAcceptsGoReads protects all tenants from one: a single object that the Go
// types can't read would make every LIST fail, and stall the operator.
func TestWhatTheSchemaAcceptsGoReads(t *testing.T) {
	t.Parallel()
	a := connect(t)
	a.namespace("poison")
	accepted := map[string]int{}
	for i, field := range []struct{ kind, path, values string }{
		{"job", "spec.handler", nastyTexts}, {"job", "spec.args", nastyJSON}, {"job", "spec.cancelled", nastyBools},
		{"job", "spec.delay", nastyDurations}, {"job", "spec.timeout", nastyDurations}, {"job", "spec.ttlAfterFinished", nastyDurations},
		{"job", "spec.retry.minDelay", nastyDurations}, {"job", "spec.retry.maxDelay", nastyDurations}, {"job", "spec.retry", nastyThings},
		{"job", "spec.retry.limit", nastyInts}, {"job", "spec.retry.factor", nastyInts},
		{"job", "spec.runAt", nastyTimes}, {"job", "spec.requeueAt", nastyTimes},
		{"job", "spec.resources", nastyThings}, {"job", "spec.resources.limits", nastyThings},
		{"job", "spec.resources.limits.cpu", nastyQuantities}, {"job", "spec.resources.requests.memory", nastyQuantities},
		{"job", "spec.priority", nastyInts}, {"job", "spec.concurrencyKey", nastyTexts}, {"job", "spec.after", nastyThings},
		{"job", "spec.after.0.name", nastyTexts}, {"job", "spec.after.0.when", nastyTexts}, {"job", "spec.after.0", nastyThings},
		{"trigger", "spec.recurringJobRef", nastyThings}, {"trigger", "spec.recurringJobRef.name", nastyTexts}, {"trigger", "spec.priority", nastyInts}, {"trigger", "spec.delay", nastyDurations},
		{"recurring", "spec.schedule", nastyTexts}, {"recurring", "spec.schedule", nastySchedules}, {"recurring", "spec.timeZone", nastyTexts},
		{"recurring", "spec.timeZone", nastyZones}, {"recurring", "spec.concurrencyPolicy", nastyTexts},
		{"recurring", "spec.startingDeadline", nastyDurations}, {"recurring", "spec.suspend", nastyBools}, {"recurring", "spec.history", nastyThings},
		{"recurring", "spec.history.succeeded", nastyInts}, {"recurring", "spec.history.failed", nastyInts}, {"recurring", "spec.template", nastyThings},
		{"recurring", "spec.template.handler", nastyTexts}, {"recurring", "spec.template.args", nastyJSON}, {"recurring", "spec.template.priority", nastyInts},
		{"recurring", "spec.template.concurrencyKey", nastyTexts}, {"recurring", "spec.template.retry", nastyThings},
		{"recurring", "spec.template.retry.limit", nastyInts}, {"recurring", "spec.template.retry.minDelay", nastyDurations},
		{"recurring", "spec.template.timeout", nastyDurations}, {"recurring", "spec.template.ttlAfterFinished", nastyDurations},
		{"recurring", "spec.template.resources.requests.memory", nastyQuantities}, {"recurring", "spec", nastyThings},
		{"workspace", "spec.concurrency", nastyInts}, {"workspace", "spec.suspend", nastyBools}, {"workspace", "spec.retention", nastyThings},
		{"workspace", "spec.retention.succeeded", nastyDurations}, {"workspace", "spec.retention.failed", nastyDurations},
		{"workspace", "spec.retention.pods", nastyDurations},
		{"job", "spec", nastyThings}, {"job", "metadata.labels", nastyThings}, {"job", "metadata.annotations.a", nastyTexts},
		{"workspace", "spec.quota", nastyThings}, {"workspace", "spec.quota.pods", nastyQuantities},
		{"workspace", "spec.runner.resources.limits.memory", nastyQuantities}, {"workspace", "spec.runner.secrets", nastyThings},
		{"workspace", "spec.runner.imagePullSecrets", nastyThings}, {"workspace", "spec.members", nastyThings},
		{"workspace", "spec.network", nastyThings}, {"workspace", "spec.network.egress", nastyThings},
		{"workspace", "spec.database.egress", nastyThings}, {"workspace", "spec.database.egress.0.ports.0.port", nastyPorts},
		{"workspace", "spec.database.egress.0.ports.0.endPort", nastyInts}, {"workspace", "spec.database.egress.0.ports.0.protocol", nastyTexts},
		{"workspace", "spec.database.egress.0.to.0.ipBlock.cidr", nastyTexts}, {"workspace", "spec.database.egress.0.to.0.podSelector", nastyThings},
		{"workspace", "spec.database.egress.0.to.0.podSelector.matchExpressions", nastyThings}, {"workspace", "spec.members.0.subjects", nastyThings},
		{"workspace", "spec.members.0.subjects.0.name", nastyTexts}, {"workspace", "spec.namespace", nastyTexts},
		{"workspace", "spec.database.schema", nastyTexts}, {"workspace", "spec.runner.image", nastyTexts},
	} {
		for j, value := range valuesOf(t, field.values) {
			u, into := poisonable(t, field.kind)
			place(u, field.path, value)
			u.SetName(fmt.Sprintf("poison-%d-%d", i, j))
			if a.create(u) != nil {
				continue
			}
			accepted[field.kind]++
			if err := a.Get(t.Context(), client.ObjectKeyFromObject(u), into); err != nil {
				t.Errorf("%s %s = %v is accepted, but can't be read: %v", field.kind, field.path, value, err)
			}
		}
	}
	t.Logf("accepted: %v", accepted)
	for kind, least := range map[string]int{"job": 50, "trigger": 5, "recurring": 50, "workspace": 50} {
		if accepted[kind] < least {
			t.Errorf("too few values of a %s were accepted for this to mean anything: %d", kind, accepted[kind])
		}
	}
	for _, list := range []client.ObjectList{&v1alpha1.WorkspaceList{}, &v1alpha1.WorkspaceJobList{}, &v1alpha1.WorkspaceRecurringJobList{}} {
		if err := a.List(t.Context(), list); err != nil {
			t.Errorf("%T can't be read: %v", list, err)
		}
	}
}

// poisonable returns an object to place a value in, and what Go reads it into.
func poisonable(t *testing.T, kind string) (*unstructured.Unstructured, client.Object) {
	t.Helper()
	switch kind {
	case "workspace":
		return object(t, minimalWorkspace, ""), &v1alpha1.Workspace{}
	case "recurring":
		return object(t, minimalRecurring, `metadata: {namespace: poison}`), &v1alpha1.WorkspaceRecurringJob{}
	case "trigger":
		return object(t, minimalJob, `{metadata: {namespace: poison}, `+triggered(``)+`}`), &v1alpha1.WorkspaceJob{}
	default:
		return object(t, minimalJob, `metadata: {namespace: poison}`), &v1alpha1.WorkspaceJob{}
	}
}

func valuesOf(t *testing.T, list string) []any {
	t.Helper()
	var values []any
	if err := yaml.Unmarshal([]byte(list), &values); err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	return values
}

// place sets the value at the path, and creates what is missing on the way. A step "0" is the
// first item of a list.
func place(u *unstructured.Unstructured, path string, value any) {
	steps := strings.Split(path, ".")
	var set func(at any, steps []string) any
	set = func(at any, steps []string) any {
		if len(steps) == 0 {
			return value
		}
		if steps[0] == "0" {
			list, _ := at.([]any)
			if len(list) == 0 {
				list = []any{nil}
			}
			list = slices.Clone(list)
			list[0] = set(list[0], steps[1:])
			return list
		}
		object, ok := at.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		object[steps[0]] = set(object[steps[0]], steps[1:])
		return object
	}
	if object, ok := set(u.Object, steps).(map[string]any); ok {
		u.Object = object
	}
}
