package attacks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

// TestAJobCannotChooseItsIdentity checks that a pod template, a ServiceAccount, an image or a
// namespace in a job's spec is refused, and dropped without strict validation.
func TestAJobCannotChooseItsIdentity(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "who")
	for field, value := range map[string]any{
		"serviceAccountName": "default",
		"image":              "registry.example.net/miner:1",
		"command":            []any{"/bin/sh"},
		"namespace":          "kube-system",
		"podTemplate":        map[string]any{"spec": map[string]any{"hostNetwork": true, "serviceAccountName": "default"}},
		"template":           map[string]any{"spec": map[string]any{"hostPID": true}},
		"podSpec":            map[string]any{"hostPID": true},
		"podTemplateSpec":    map[string]any{"hostPID": true},
		"env":                []any{map[string]any{"name": "DATABASE_URL", "value": "postgres://globex"}},
		"envFrom":            []any{map[string]any{"secretRef": map[string]any{"name": "other"}}},
		"volumes":            []any{map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}}},
		"secretRef":          map[string]any{"name": "other"},
		"securityContext":    map[string]any{"privileged": true},
		"nodeName":           "control-plane",
		"workspace":          "globex",
		"queue":              "workspace_globex",
	} {
		job := tn.loose("with-"+strings.ToLower(field), map[string]any{field: value})
		err := tn.editor.Create(t.Context(), job.DeepCopy(), client.FieldValidation(metav1.FieldValidationStrict))
		if !apierrors.IsBadRequest(err) || !strings.Contains(fmt.Sprint(err), `unknown field "spec.`+field+`"`) {
			t.Errorf("a job with %s: %v", field, err)
		}
		if err := tn.editor.Create(t.Context(), job, client.FieldValidation(metav1.FieldValidationIgnore)); err != nil {
			t.Fatal(err)
		}
		tn.wantRunner(tn.attempt(job.GetName()).Spec.Template.Spec)
	}
}

// wantRunner checks that the pod is a runner of this tenant, and nothing else.
func (tn *tenant) wantRunner(pod corev1.PodSpec) {
	tn.Helper()
	runner := pod.Containers[0]
	values, sources := map[string]string{}, map[string]*corev1.EnvVarSource{}
	for _, variable := range runner.Env {
		values[variable.Name], sources[variable.Name] = variable.Value, variable.ValueFrom
	}
	url := sources["DATABASE_URL"]
	switch {
	case len(pod.Containers) != 1, len(pod.InitContainers) > 0, runner.Image != objects.Image, len(runner.Command) > 0,
		len(runner.Args) != 1, runner.Args[0] != "run", len(runner.EnvFrom) > 0, pod.NodeName != "",
		pod.ServiceAccountName != v1alpha1.RunnerServiceAccount, *pod.AutomountServiceAccountToken,
		pod.HostNetwork, pod.HostPID, pod.HostIPC, runner.SecurityContext.Privileged != nil,
		len(pod.Volumes) != 1, pod.Volumes[0].EmptyDir == nil:
		tn.Errorf("the pod is not a runner's: %+v", pod)
	case values["JOB_WORKSPACE"] != tn.name, values["JOB_QUEUE"] != "workspace_"+tn.name,
		url == nil, url.SecretKeyRef == nil, url.SecretKeyRef.Name != "database", url.SecretKeyRef.Key != "url":
		tn.Errorf("the pod works for another tenant: %+v", runner.Env)
	}
}

// TestAJobReachesNoOtherNamespace checks that a job reaches no other namespace, neither by
// its own namespace nor by the objects that it refers to.
func TestAJobReachesNoOtherNamespace(t *testing.T) {
	t.Parallel()
	mine, other := newTenant(t, "reach-mine"), newTenant(t, "reach-other")
	if err := other.editor.Create(t.Context(), other.job("parent")); err != nil {
		t.Fatal(err)
	}
	other.waitState("parent", v1alpha1.StateSucceeded)
	series := objects.MakeWorkspaceRecurringJob("nightly").In(other.namespace).Obj()
	if err := other.editor.Create(t.Context(), series); err != nil {
		t.Fatal(err)
	}
	if err := mine.editor.Create(t.Context(), other.job("mine")); !apierrors.IsForbidden(err) {
		t.Errorf("a job in the other tenant's namespace: %v", err)
	}
	for what, fields := range map[string]map[string]any{
		"path-after": {"after": []any{map[string]any{"name": other.namespace + "/parent"}}},
		"dots-after": {"after": []any{map[string]any{"name": "../" + other.namespace}}},
		"path-ref":   {"handler": nil, "recurringJobRef": map[string]any{"name": other.namespace + "/nightly"}},
	} {
		if err := mine.editor.Create(t.Context(), mine.loose(what, fields)); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Here the names of the other tenant's objects are names in the tenant's own namespace.
	waits := mine.job("waits")
	waits.Spec.After = []v1alpha1.Parent{{Name: "parent"}}
	triggers := mine.job("triggers")
	triggers.Spec.Handler, triggers.Spec.Args, triggers.Spec.RecurringJobRef = "", nil, &v1alpha1.RecurringJobRef{Name: "nightly"}
	for _, job := range []*v1alpha1.WorkspaceJob{waits, triggers} {
		if err := mine.editor.Create(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	mine.waitState("waits", v1alpha1.StateAwaiting)
	mine.waitJob("triggers", "finds no recurring job", func(job *v1alpha1.WorkspaceJob) bool {
		return job.Status.State != "" && job.Status.State != v1alpha1.StateSucceeded && len(job.Status.Attempts) == 0
	})
	// A recurring job in another namespace can't be an owner, even if its UID is known.
	adopted := mine.job("adopted")
	adopted.Labels = map[string]string{v1alpha1.LabelRecurringJob: "nightly"}
	adopted.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "WorkspaceRecurringJob", Name: "nightly", UID: series.UID, Controller: new(true),
	}}
	if err := mine.insider.Create(t.Context(), adopted); err != nil {
		t.Fatal(err)
	}
	var runs v1alpha1.WorkspaceRecurringJob
	if err := other.admin.Get(t.Context(), client.ObjectKeyFromObject(series), &runs); err != nil {
		t.Fatal(err)
	}
	if runs.Status.LastRun != nil || len(runs.Status.Active) > 0 {
		t.Errorf("the other tenant's recurring job has runs: %+v", runs.Status)
	}
}

// TestAFinishedJobIsNotEditedIntoANewOne checks that a finished job's spec can't change:
// otherwise its name and history could stand for something that never ran.
func TestAFinishedJobIsNotEditedIntoANewOne(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "edited")
	job := tn.job("done")
	if err := tn.editor.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	before := tn.waitState("done", v1alpha1.StateSucceeded)
	for field, text := range map[string]string{
		"handler":         `{"spec":{"handler":"data-cleanup"}}`,
		"args":            `{"spec":{"args":{"statements":["DROP TABLE customers"]}}}`,
		"retry":           `{"spec":{"retry":{"limit":99}}}`,
		"timeout":         `{"spec":{"timeout":"1h"}}`,
		"resources":       `{"spec":{"resources":{"limits":{"memory":"8Gi"}}}}`,
		"concurrencyKey":  `{"spec":{"concurrencyKey":"k"}}`,
		"delay":           `{"spec":{"delay":"1h"}}`,
		"runAt":           `{"spec":{"runAt":"2030-01-01T00:00:00Z"}}`,
		"after":           `{"spec":{"after":[{"name":"other"}]}}`,
		"recurringJobRef": `{"spec":{"handler":null,"recurringJobRef":{"name":"nightly"}}}`,
	} {
		err := tn.editor.Patch(t.Context(), tn.job("done"), client.RawPatch(types.MergePatchType, []byte(text)))
		if !apierrors.IsInvalid(err) || !strings.Contains(fmt.Sprint(err), "can't change once the job exists") {
			t.Errorf("a change of %s: %v", field, err)
		}
	}
	after := tn.waitState("done", v1alpha1.StateSucceeded)
	if after.Generation != before.Generation || after.Status.Run != before.Status.Run || len(after.Status.Attempts) != 1 {
		t.Errorf("the job has changed: %+v", after)
	}
}

// TestOnlyTheOperatorsStatusCounts checks that a status written by a tenant is dropped from a
// new job, refused on the status subresource, and never read.
func TestOnlyTheOperatorsStatusCounts(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "status")
	job := tn.job("claims")
	job.Status = v1alpha1.WorkspaceJobStatus{
		State: v1alpha1.StateSucceeded, RunAttempts: 1, FinishedAt: new(metav1.Now()),
		Attempts: []v1alpha1.Attempt{{Number: 1, Run: 1, Job: "claims-1", JobUID: "forged", CreatedAt: metav1.NewTime(time.Unix(0, 0))}},
	}
	if err := tn.editor.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	done := tn.waitState("claims", v1alpha1.StateSucceeded)
	if child := tn.attempt("claims"); len(done.Status.Attempts) != 1 || done.Status.Attempts[0].JobUID != child.UID {
		t.Errorf("because of its forged status, the job did not run: %+v", done.Status)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"state":"Failed"}}`))
	for who, c := range map[string]client.Client{"an editor": tn.editor, "an insider": tn.insider, "a cluster admin": tn.admin} {
		if err := c.Status().Patch(t.Context(), tn.job("claims"), patch); !apierrors.IsForbidden(err) {
			t.Errorf("%s writes a status: %v", who, err)
		}
	}
}
