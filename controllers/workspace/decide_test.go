package workspace

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/applyconfigurations"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// nothing returns what is observed of a workspace that has no objects yet.
func nothing(ws *v1alpha1.Workspace) observed {
	return observed{
		now: noon(), workspace: ws,
		live: map[string]client.Object{}, applied: map[string]bool{}, refused: map[string]report.Refusal{},
	}
}

// upToDate returns what is observed of a workspace about which nothing is to be done.
func upToDate(t *testing.T, ws *v1alpha1.Workspace) observed {
	t.Helper()
	done := MakeMigration(ws, 1).Ended(batchv1.JobComplete, noon()).Obj()
	seen := nothing(ws)
	seen.namespace, seen.jobs = newNamespace(ws), []batchv1.Job{*done}
	seen.ledger = migration{job: done, run: runnerjob.Observation{End: &runnerjob.End{Succeeded: true}}}
	for _, c := range children(ws, "") {
		if c.wanted {
			seen.live[c.key()] = asApplied(t, c)
		}
	}
	seen.live[quotaKey].(*corev1.ResourceQuota).Status.Used = corev1.ResourceList{countedJobs: resource.MustParse("0")}
	return seen
}

// asApplied returns the object as the API server would hold it after the operator has
// applied it: with the fields that the operator owns.
func asApplied(t *testing.T, c child) client.Object {
	t.Helper()
	document, err := json.Marshal(c.config)
	if err != nil {
		t.Fatal(err)
	}
	untyped := &unstructured.Unstructured{}
	if err := untyped.UnmarshalJSON(document); err != nil {
		t.Fatal(err)
	}
	value, err := applyconfigurations.NewTypeConverter(clientgoscheme.Scheme).ObjectToTyped(untyped)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := value.ToFieldSet()
	if err != nil {
		t.Fatal(err)
	}
	owned, err := fields.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(document, c.blank); err != nil {
		t.Fatal(err)
	}
	c.blank.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: v1alpha1.ManagedBy, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: untyped.GetAPIVersion(), FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(owned)),
	}})
	return c.blank
}

func TestDecide(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").UID("now").Generation(1).Member(v1alpha1.RoleViewer, "vera").Obj()
	everything := []string{
		"create Namespace/workspace-acme",
		"apply NetworkPolicy/workspace-jobs-default-deny", "apply NetworkPolicy/workspace-jobs-runner",
		"apply ResourceQuota/workspace-jobs", "apply LimitRange/workspace-jobs", "apply ServiceAccount/runner",
		"apply RoleBinding/workspace-jobs-viewer", "create " + jobKey(migrationJob(ws, 1)),
	}
	for name, test := range map[string]struct {
		seen  func(*observed)
		did   []string
		ready report.Finding
		held  bool
		after time.Duration
	}{
		"nothing is there": {func(o *observed) { *o = nothing(o.workspace) }, everything, report.Finding{Phase: report.Progressing, Reason: "Migrating"}, true, pendingRetry},
		"all is there":     {func(*observed) {}, nil, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"the namespace is taken": {func(o *observed) { o.namespace = MakeNamespace("workspace-acme").Obj() },
			nil, report.Finding{Phase: report.Stalled, Reason: "NamespaceTaken"}, false, report.NameTakenRetry},
		"the namespace is being deleted": {func(o *observed) { o.namespace.DeletionTimestamp = new(metav1.Now()) },
			nil, report.Finding{Phase: report.Progressing, Reason: "NamespaceTerminating"}, false, terminatingRetry},
		"the namespace lost a label": {func(o *observed) { delete(o.namespace.Labels, v1alpha1.LabelManagedBy) },
			[]string{"apply Namespace/workspace-acme"}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"a child is gone": {func(o *observed) { delete(o.live, "ServiceAccount/runner") },
			[]string{"apply ServiceAccount/runner"}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"a child was edited": {func(o *observed) { o.live["ServiceAccount/runner"].SetManagedFields(nil) },
			[]string{"apply ServiceAccount/runner"}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"a child is foreign": {func(o *observed) {
			o.live["ServiceAccount/runner"].SetOwnerReferences(nil)
			delete(o.live, "LimitRange/workspace-jobs")
		}, []string{"apply LimitRange/workspace-jobs"}, report.Finding{Phase: report.Stalled, Reason: "NameTaken"}, true, report.NameTakenRetry},
		"a child is an earlier Workspace's": {func(o *observed) {
			o.live["ServiceAccount/runner"].SetOwnerReferences([]metav1.OwnerReference{*ownerOf(MakeWorkspace("acme").UID("then").Obj())})
		}, nil, report.Finding{Phase: report.Stalled, Reason: "NameTaken"}, true, report.NameTakenRetry},
		"a role has lost its members": {func(o *observed) {
			o.live["RoleBinding/workspace-jobs-admin"] = ours(&rbacv1.RoleBinding{}, "workspace-jobs-admin")
		}, []string{"delete RoleBinding/workspace-jobs-admin"}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"a foreign object has an unused role's name": {func(o *observed) {
			o.live["RoleBinding/workspace-jobs-admin"] = &rbacv1.RoleBinding{}
		}, nil, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"a role refers elsewhere": {func(o *observed) {
			o.live["RoleBinding/workspace-jobs-viewer"] = ours(&rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{Name: "cluster-admin"}}, "workspace-jobs-viewer")
		}, []string{"delete RoleBinding/workspace-jobs-viewer", "apply RoleBinding/workspace-jobs-viewer"}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"the quota is not counted": {func(o *observed) { uncount(o, noon()) },
			nil, report.Finding{Phase: report.Progressing, Reason: "QuotaPending"}, true, quotaPatience},
		"the quota is overlooked": {func(o *observed) { uncount(o, noon().Add(-quotaPatience)) },
			[]string{"delete ResourceQuota/workspace-jobs", "apply ResourceQuota/workspace-jobs"}, report.Finding{Phase: report.Progressing, Reason: "QuotaPending"}, true, quotaPatience},
		"an older image's migration is left": {func(o *observed) {
			o.jobs = append(o.jobs, *MakeMigration(MakeWorkspace("acme").Image("old").Obj(), 1).Obj())
		}, []string{"delete " + jobKey(migrationJob(MakeWorkspace("acme").Image("old").Obj(), 1))}, report.Finding{Phase: report.Ready, Reason: "Ready"}, true, 0},
		"another image": {func(o *observed) {
			o.jobs = []batchv1.Job{*MakeMigration(MakeWorkspace("acme").Image("old").Obj(), 1).Obj()}
			o.ledger = migration{}
		}, []string{"create " + jobKey(migrationJob(ws, 1)), "delete " + jobKey(migrationJob(MakeWorkspace("acme").Image("old").Obj(), 1))}, report.Finding{Phase: report.Progressing, Reason: "Migrating"}, true, pendingRetry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := upToDate(t, ws)
			test.seen(&seen)
			api := &playedAPI{}
			d := carryOut(t.Context(), &seen, api.act)
			if diff := cmp.Diff(test.did, api.did); diff != "" {
				t.Error(diff)
			}
			got := d.ready
			if got.Phase != test.ready.Phase || got.Reason != test.ready.Reason || got.Message == "" {
				t.Errorf("Ready says %+v; want %s %s", got, test.ready.Phase, test.ready.Reason)
			}
			if held := d.status.Namespace == "workspace-acme"; held != test.held || d.after != test.after {
				t.Errorf("namespace %q, after %s", d.status.Namespace, d.after)
			}
		})
	}
}

func ours(object client.Object, name string) client.Object {
	object.SetName(name)
	object.SetOwnerReferences([]metav1.OwnerReference{*ownerOf(MakeWorkspace("acme").UID("now").Obj())})
	return object
}

func uncount(o *observed, created time.Time) {
	quota, ok := o.live[quotaKey].(*corev1.ResourceQuota)
	if ok {
		quota.Status.Used = nil
		quota.CreationTimestamp = metav1.NewTime(created)
	}
}
