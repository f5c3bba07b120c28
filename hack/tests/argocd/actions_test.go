package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/v3/util/lua"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// enabled returns the actions that Argo CD offers, by name; disabled ones are false.
func enabled(t *testing.T, vm lua.VM, u *unstructured.Unstructured) map[string]bool {
	t.Helper()
	scripts, err := vm.GetResourceActionDiscovery(u)
	if err != nil {
		t.Fatal(err)
	}
	found, err := vm.ExecuteResourceActionDiscovery(u, scripts)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, action := range found {
		names[action.Name] = !action.Disabled
		if action.DisplayName == "" || action.IconClass == "" {
			t.Errorf("%s has no name or no icon: %+v", action.Name, action)
		}
		if definition, err := vm.GetResourceAction(u, action.Name); err != nil || definition.ActionLua == "" {
			t.Errorf("%s is offered but has no script: %v", action.Name, err)
		}
	}
	return names
}

// act runs an action, and decodes its result strictly into one of the product's kinds.
func act(t *testing.T, vm lua.VM, u *unstructured.Unstructured, name string) ([]lua.ImpactedResource, error) {
	t.Helper()
	definition, err := vm.GetResourceAction(u, name)
	if err != nil {
		t.Fatal(err)
	}
	impacted, err := vm.ExecuteResourceAction(u, definition.ActionLua, nil)
	if err != nil {
		return nil, err
	}
	for _, resource := range impacted {
		document, err := json.Marshal(resource.UnstructuredObj)
		if err != nil {
			t.Fatal(err)
		}
		var into any
		switch kind := resource.UnstructuredObj.GetKind(); kind {
		case "Workspace":
			into = &v1alpha1.Workspace{}
		case "WorkspaceJob":
			into = &v1alpha1.WorkspaceJob{}
		case "WorkspaceRecurringJob":
			into = &v1alpha1.WorkspaceRecurringJob{}
		default:
			t.Fatalf("%q is not one of the product's kinds", kind)
		}
		if err := yaml.UnmarshalStrict(document, into, yaml.DisallowUnknownFields); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return impacted, nil
}

// patch returns what Argo CD sends to the API server after an action: the difference between the
// live object and the one that the action returned.
func patch(t *testing.T, vm lua.VM, u *unstructured.Unstructured, name string) string {
	t.Helper()
	impacted, err := act(t, vm, u, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(impacted) != 1 || impacted[0].K8SOperation != lua.PatchOperation {
		t.Fatalf("%s: not one patch: %+v", name, impacted)
	}
	before, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(impacted[0].UnstructuredObj)
	if err != nil {
		t.Fatal(err)
	}
	difference, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		t.Fatal(err)
	}
	return string(difference)
}

func TestActionsOffered(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	fresh := job("", "", false)
	fresh.Status = v1alpha1.WorkspaceJobStatus{ObservedGeneration: -1}
	cancelling := job(v1alpha1.StateProcessing, v1alpha1.ReasonCancelling, false)
	cancelling.Spec.Cancelled = true
	cancelled := job(v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, false)
	cancelled.Spec.Cancelled = true
	goes := recurring(false)
	goes.DeletionTimestamp = new(metav1.Unix(1_800_000_000, 0))
	for name, row := range map[string]struct {
		object any
		want   map[string]bool
	}{
		"not seen yet":     {fresh, map[string]bool{"cancel": true, "requeue": false}},
		"scheduled":        {job("Scheduled", "Scheduled", false), map[string]bool{"cancel": true, "requeue": false}},
		"awaiting":         {job("Awaiting", "AwaitingParents", false), map[string]bool{"cancel": true, "requeue": false}},
		"enqueued":         {job("Enqueued", "Queued", false), map[string]bool{"cancel": true, "requeue": false}},
		"stalled":          {job("Enqueued", "NotInWorkspace", true), map[string]bool{"cancel": true, "requeue": false}},
		"processing":       {job("Processing", "Processing", false), map[string]bool{"cancel": true, "requeue": false}},
		"being cancelled":  {cancelling, map[string]bool{"cancel": false, "requeue": false}},
		"succeeded":        {job("Succeeded", "Succeeded", false), map[string]bool{"cancel": false, "requeue": true}},
		"failed":           {job("Failed", "RetriesExhausted", false), map[string]bool{"cancel": false, "requeue": true}},
		"cancelled":        {cancelled, map[string]bool{"cancel": false, "requeue": true}},
		"schedule":         {recurring(false), map[string]bool{"trigger": true, "pause": true, "resume": false}},
		"paused schedule":  {recurring(true), map[string]bool{"trigger": true, "pause": false, "resume": true}},
		"deleted schedule": {goes, map[string]bool{"trigger": false, "pause": true, "resume": false}},
		"workspace":        {workspace(false), map[string]bool{"pause": true, "resume": false}},
		"paused workspace": {workspace(true), map[string]bool{"pause": false, "resume": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := enabled(t, vm, live(t, row.object)); fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Errorf("offered: %v, want %v", got, row.want)
			}
		})
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	r := recurring(true)
	r.Name = strings.Repeat("n", 46)
	before := time.Now().Truncate(time.Second)
	impacted, err := act(t, vm, live(t, r), "trigger")
	if err != nil {
		t.Fatal(err)
	}
	if len(impacted) != 1 || impacted[0].K8SOperation != lua.CreateOperation {
		t.Fatalf("not one creation: %+v", impacted)
	}
	document, err := json.Marshal(impacted[0].UnstructuredObj)
	if err != nil {
		t.Fatal(err)
	}
	var run v1alpha1.WorkspaceJob
	if err := json.Unmarshal(document, &run); err != nil {
		t.Fatal(err)
	}
	var second int64
	if _, err := fmt.Sscanf(strings.TrimPrefix(run.Name, r.Name), "-%d", &second); err != nil || len(run.Name) > 58 ||
		second < before.Unix() || second > time.Now().Unix() {
		t.Errorf("the name is %q (%d characters): %v", run.Name, len(run.Name), err)
	}
	run.Name = ""
	got, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"WorkspaceJob","apiVersion":"jobs.openradius.io/v1alpha1","metadata":{"namespace":"workspace-acme",` +
		`"labels":{"` + v1alpha1.LabelRecurringJob + `":"` + r.Name + `"},"ownerReferences":[{"apiVersion":"jobs.openradius.io/v1alpha1",` +
		`"kind":"WorkspaceRecurringJob","name":"` + r.Name + `","uid":"7b0c","controller":true}]},` +
		`"spec":{"recurringJobRef":{"name":"` + r.Name + `"}},"status":{}}`
	if string(got) != want {
		t.Errorf("the run is\n%s, want\n%s", got, want)
	}
	if spec := fmt.Sprint(impacted[0].UnstructuredObj.Object["spec"]); spec != "map[recurringJobRef:map[name:"+r.Name+"]]" {
		t.Errorf("its spec has more than the name of its recurring job: %s", spec)
	}
}

// TestPatches checks that an action changes only what it should in an object that has empty
// objects and lists, fractions and the API server's bookkeeping.
func TestPatches(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	cancelled := job(v1alpha1.StateDeleted, v1alpha1.ReasonCancelled, false)
	cancelled.Spec.Cancelled = true
	for _, row := range []struct {
		object any
		action string
		want   string
	}{
		{recurring(false), "pause", `{"spec":{"suspend":true}}`},
		{recurring(true), "resume", `{"spec":{"suspend":false}}`},
		{workspace(false), "pause", `{"spec":{"suspend":true}}`},
		{workspace(true), "resume", `{"spec":{"suspend":false}}`},
		{job("Processing", "Processing", false), "cancel", `{"spec":{"cancelled":true}}`},
		{job("Failed", "RetriesExhausted", false), "requeue", `{"spec":{"requeueAt":"NOW"}}`},
		{cancelled, "requeue", `{"spec":{"cancelled":false,"requeueAt":"NOW"}}`},
	} {
		u := live(t, row.object)
		t.Run(u.GetKind()+" "+row.action, func(t *testing.T) {
			t.Parallel()
			embellish(t, u)
			before := time.Now().UTC().Truncate(time.Second)
			got := patch(t, vm, u, row.action)
			for at := before; !at.After(time.Now()); at = at.Add(time.Second) {
				got = strings.ReplaceAll(got, at.Format(time.RFC3339), "NOW")
			}
			if got != row.want {
				t.Errorf("the patch is %s, want %s", got, row.want)
			}
		})
	}
}

// embellish adds everything that Lua might change on the way there and back.
func embellish(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "argocd-controller", Operation: "Apply", FieldsType: "FieldsV1",
		FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:args":{},"f:list":{".":{},"k:{\"name\":\"a\"}":{}}}}`)},
	}})
	const args = `{"none":{},"list":[],"lists":[[1,2],["a"]],"objects":[{"a":{"b":[]}}],"half":0.5,"whole":9007199254740991,
		"big":1e15,"minus":-7,"text":"1","no":false,"1":"a key like a number"}`
	for kind, path := range map[string][]string{
		"WorkspaceJob": {"spec", "args"}, "WorkspaceRecurringJob": {"spec", "template", "args"},
	} {
		if u.GetKind() == kind {
			set(t, u, args, path...)
		}
	}
	if u.GetKind() == "WorkspaceJob" {
		set(t, u, `"2026-11-20T03:00:00Z"`, "status", "finishedAt")
		set(t, u, `{"rows":12,"none":{}}`, "status", "result")
	}
}

// set decodes a value as the API server's clients do.
func set(t *testing.T, u *unstructured.Unstructured, value string, path ...string) {
	t.Helper()
	var wrapped unstructured.Unstructured
	if err := wrapped.UnmarshalJSON([]byte(`{"apiVersion":"v1","kind":"Value","value":` + value + `}`)); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(u.Object, wrapped.Object["value"], path...); err != nil {
		t.Fatal(err)
	}
}
