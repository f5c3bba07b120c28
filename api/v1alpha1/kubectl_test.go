package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// given is an existing object: base with an overlay, and a status.
type given struct{ base, overlay, status string }

func (a api) give(objects ...given) {
	a.t.Helper()
	for _, each := range objects {
		u := object(a.t, each.base, each.overlay)
		if err := a.create(u); err != nil {
			a.t.Fatal(err)
		}
		if each.status == "" {
			continue
		}
		patch := client.RawPatch(types.MergePatchType, merge(a.t, []byte(`{}`), `status: `+each.status))
		if err := a.Status().Patch(a.t.Context(), u, patch); err != nil {
			a.t.Fatal(err)
		}
	}
}

// table returns what `kubectl get RESOURCE -o wide` shows; the API server renders the rows.
func table(t *testing.T, namespace, resource, selector string) []string {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(shared.Env(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	request := clientset.RESTClient().Get().AbsPath("/apis/jobs.openradius.io/v1alpha1")
	if namespace != "" {
		request = request.Namespace(namespace)
	}
	raw, err := request.Resource(resource).Param("fieldSelector", selector).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
	var answer metav1.Table
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	var lines []string
	heads := make([]string, 0, len(answer.ColumnDefinitions))
	for _, column := range answer.ColumnDefinitions {
		heads = append(heads, column.Name)
	}
	lines = append(lines, strings.Join(heads, "|"))
	for _, row := range answer.Rows {
		lines = append(lines, strings.TrimSuffix(strings.ReplaceAll(fmt.Sprintln(strings.Join(texts(row.Cells), "|")), "<nil>", "-"), "\n"))
	}
	return lines
}

func texts(cells []any) []string {
	all := make([]string, 0, len(cells))
	for _, cell := range cells {
		all = append(all, fmt.Sprint(cell))
	}
	return all
}

// names returns the names that a field selector finds.
func names(t *testing.T, namespace, resource, selector string) []string {
	t.Helper()
	var found []string
	for _, line := range table(t, namespace, resource, selector)[1:] {
		name, _, _ := strings.Cut(line, "|")
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}

func TestFieldSelectors(t *testing.T) {
	t.Parallel()
	a := connect(t)
	a.namespace("selectors")
	named := func(name string) string { return `metadata: {namespace: selectors, name: ` + name + `}` }
	a.give(
		given{minimalJob, `{` + named("one") + `, spec: {concurrencyKey: "billing/a b"}}`, `{state: Failed}`},
		given{minimalJob, `{` + named("two") + `, spec: {handler: report}}`, `{state: Succeeded}`},
		given{minimalJob, `{` + named("three") + `, spec: {handler: report, concurrencyKey: other}}`, `{state: Failed}`},
		given{minimalJob, `{` + named("four") + `, ` + triggered(``) + `}`, `{state: Enqueued}`},
		given{minimalJob, named("tried"), `{state: Scheduled, runAttempts: 2}`},
		given{minimalJob, named("untried"), `{state: Scheduled, runAttempts: 0}`},
		given{minimalJob, named("due-later"), `{state: Scheduled}`},
		given{minimalRecurring, named("running"), ``},
		given{minimalRecurring, `{` + named("resumed") + `, spec: {suspend: false}}`, ``},
		given{minimalRecurring, `{` + named("paused") + `, spec: {suspend: true, template: {handler: report}}}`, ``},
		given{minimalWorkspace, `metadata: {name: select-me}`, `{namespace: of-select-me}`},
		given{minimalWorkspace, `metadata: {name: select-not}`, `{namespace: of-select-not}`},
	)
	for _, each := range []struct {
		namespace, resource, selector string
		want                          []string
	}{
		{"selectors", "workspacejobs", "status.state=Failed", []string{"one", "three"}},
		{"selectors", "workspacejobs", "spec.handler=report", []string{"three", "two"}},
		{"selectors", "workspacejobs", "spec.handler=report,status.state=Failed", []string{"three"}},
		{"selectors", "workspacejobs", "spec.concurrencyKey=billing/a b", []string{"one"}},
		{"selectors", "workspacejobs", "spec.recurringJobRef.name=nightly", []string{"four"}},
		{"selectors", "workspacejobs", "spec.recurringJobRef.name=", []string{"due-later", "one", "three", "tried", "two", "untried"}},
		{"selectors", "workspacejobs", "status.runAttempts=2", []string{"tried"}},
		// A number that is not set is not shown as 0.
		{"selectors", "workspacejobs", "status.state=Scheduled,status.runAttempts!=0", []string{"due-later", "tried"}},
		{"selectors", "workspacejobs", "status.state=Scheduled,status.runAttempts!=0,status.runAttempts!=", []string{"tried"}},
		{"selectors", "workspacerecurringjobs", "spec.suspend=true", []string{"paused"}},
		{"selectors", "workspacerecurringjobs", "spec.suspend!=true", []string{"resumed", "running"}},
		{"selectors", "workspacerecurringjobs", "spec.template.handler=report", []string{"paused"}},
		{"", "workspaces", "status.namespace=of-select-me", []string{"select-me"}},
	} {
		if diff := cmp.Diff(each.want, names(t, each.namespace, each.resource, each.selector)); diff != "" {
			t.Errorf("%s %s: %s", each.resource, each.selector, diff)
		}
	}
}

func TestPrinterColumns(t *testing.T) {
	t.Parallel()
	a := connect(t)
	a.namespace("columns")
	ready := `{type: Ready, status: "True", reason: Ready, message: all is well, lastTransitionTime: "2026-01-01T00:00:00Z"}`
	a.give(
		given{minimalRecurring, `{metadata: {namespace: columns, name: nightly, annotations: {jobs.openradius.io/created-by: admin}}, spec: {timeZone: Asia/Kolkata, suspend: true}}`,
			`{conditions: [` + ready + `], lastRun: {name: nightly-1, state: Failed, finishedAt: "2026-01-01T00:00:00Z"}, consecutiveFailures: 2, nextScheduledAt: "2026-01-02T00:00:00Z"}`},
		given{minimalRecurring, `metadata: {namespace: columns, name: unseen}`, ``},
		given{minimalWorkspace, `metadata: {name: columns}`, `{namespace: columns, conditions: [` + ready + `],
			jobs: {scheduled: 1, awaiting: 2, enqueued: 3, processing: 4, succeeded: 5, failed: 6, deleted: 7}}`},
	)
	recurring := table(t, "columns", "workspacerecurringjobs", "")
	want := []string{
		`Name|Schedule|Time Zone|Suspend|Ready|Last Run|Failures|Last Scheduled|Next|Age|Created By|Message`,
		`nightly|0 2 * * *|Asia/Kolkata|true|True|Failed|2|-|2026-01-02T00:00:00Z|AGE|admin|all is well`,
		`unseen|0 2 * * *|Etc/UTC|-|-|-|-|-|-|AGE|-|-`,
	}
	if diff := cmp.Diff(want, withoutAge(recurring, 9)); diff != "" {
		t.Error(diff)
	}
	workspaces := table(t, "", "workspaces", "metadata.name=columns")
	want = []string{
		`Name|Namespace|Ready|Database|Enqueued|Processing|Failed|Age|Message`,
		`columns|columns|True|-|3|4|6|AGE|all is well`,
	}
	if diff := cmp.Diff(want, withoutAge(workspaces, 7)); diff != "" {
		t.Error(diff)
	}
}

// withoutAge replaces the ages in a row, which differ from run to run.
func withoutAge(lines []string, column int) []string {
	for i, line := range lines[1:] {
		cells := strings.Split(line, "|")
		cells[column] = "AGE"
		lines[i+1] = strings.Join(cells, "|")
	}
	return lines
}

// TestShortNames checks the short names of the kinds, and the category of all of them.
func TestShortNames(t *testing.T) {
	t.Parallel()
	clientset, err := kubernetes.NewForConfig(shared.Env(t).Config)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := clientset.Discovery().ServerResourcesForGroupVersion("jobs.openradius.io/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, resource := range resources.APIResources {
		if !strings.Contains(resource.Name, "/") {
			got[resource.Name] = slices.Concat(resource.ShortNames, resource.Categories)
		}
	}
	want := map[string][]string{
		"workspaces": {"ws", "openradius"}, "workspacejobs": {"wj", "openradius"}, "workspacerecurringjobs": {"wrj", "openradius"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
