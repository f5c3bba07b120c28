package workspace

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// absent is a Workspace that only this test reconciles, as it was observed before any
// of its objects existed. Only a write can find out what was created since.
func (c *clusterT) absent(b *workspaceBuilder) observed {
	return nothing(b.UID(types.UID("of " + b.Obj().Name)).Generation(1).Obj())
}

// TestANamespaceThatCameMeanwhileIsJudged creates the namespace too late, and checks that the
// owner of the existing one decides, not its name.
func TestANamespaceThatCameMeanwhileIsJudged(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	c.create(MakeNamespace("meanwhile").UIDless())
	o := c.absent(MakeWorkspace("late").Namespace("meanwhile"))
	d := carryOut(t.Context(), &o, operator.reconciler.act)
	if o.failed != nil || d.ready.Reason != v1alpha1.ReasonNamespaceTaken || d.status.Namespace != "" {
		t.Errorf("another owner's namespace: %+v, %v", d.ready, o.failed)
	}

	// One that was handed over meanwhile is adopted with what is in it.
	account := &corev1.ServiceAccount{}
	account.Name, account.Namespace = v1alpha1.RunnerServiceAccount, "meanwhile"
	c.create(account)
	c.label("meanwhile", v1alpha1.LabelWorkspace, "late")
	o = c.absent(MakeWorkspace("late").Namespace("meanwhile"))
	d = carryOut(t.Context(), &o, operator.reconciler.act)
	if d.ready.Reason != v1alpha1.ReasonNameTaken || !strings.Contains(d.ready.Message, "ServiceAccount") || d.status.Namespace != "meanwhile" {
		t.Errorf("a namespace that was handed over: %+v, %v", d.ready, o.failed)
	}
}

// TestAChildThatCameMeanwhileIsNotTakenOver has somebody create it between the operator's
// read and its write.
func TestAChildThatCameMeanwhileIsNotTakenOver(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ns := MakeNamespace("overtaken").For("overtaken").UIDless()
	c.create(ns)
	theirs := &corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}}}}
	theirs.Name, theirs.Namespace = limitRangeName, ns.Name
	c.create(theirs)
	o := c.absent(MakeWorkspace("overtaken").Namespace(ns.Name))
	o.namespace = ns
	d := carryOut(t.Context(), &o, operator.reconciler.act)
	found := &corev1.LimitRange{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(theirs), found); err != nil {
		t.Fatal(err)
	}
	if len(found.OwnerReferences) > 0 || !equality.Semantic.DeepEqual(found.Spec, theirs.Spec) {
		t.Errorf("it was taken over: %v, %v", found.OwnerReferences, found.Spec)
	}
	if o.failed == nil || d.status.Conditions != nil {
		t.Errorf("%v, and it is reported: %+v", o.failed, d.status.Conditions)
	}
}

// TestAMigrationThatTheCacheDoesNotShowIsAdopted has one that was created before a crash.
func TestAMigrationThatTheCacheDoesNotShowIsAdopted(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("adopts").Obj())
	done := c.migration(ws, 1)
	o := operator.reconciler.observe(t.Context(), ws)
	o.jobs, o.ledger = nil, migration{}
	d := carryOut(t.Context(), &o, operator.reconciler.act)
	if o.failed != nil || d.ready.Reason != v1alpha1.ReasonReady || o.ledger.job == nil || o.ledger.job.UID != done.UID {
		t.Errorf("%+v, %v, %+v", d.ready, o.failed, o.ledger.job)
	}
}

// TestOnlyWhatWasSeenIsChanged has somebody replace an object between the operator's read and
// its write, which may force the ownership of fields.
func TestOnlyWhatWasSeenIsChanged(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ns := MakeNamespace("changed").For("changed").UIDless()
	c.create(ns)
	another := &corev1.ServiceAccount{}
	another.Name, another.Namespace = v1alpha1.RunnerServiceAccount, ns.Name
	c.create(another)
	seen := another.DeepCopy()
	seen.UID = "of the one before"
	o := c.absent(MakeWorkspace("changed").Namespace(ns.Name))
	for _, ch := range children(o.workspace, "") {
		if ch.key() != "ServiceAccount/"+another.Name {
			continue
		}
		if err := operator.reconciler.apply(t.Context(), &o, ch.onto(seen)); !report.Passing(err) {
			t.Errorf("the answer is %v, %v", err, o.refused)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(another), another); err != nil || len(another.OwnerReferences) > 0 {
		t.Errorf("the new one was taken over: %v, %v", another.OwnerReferences, err)
	}
}

// TestOnlyWhatWasSeenIsRemoved has somebody replace an object between the operator's read and
// its delete.
func TestOnlyWhatWasSeenIsRemoved(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ns := MakeNamespace("replaced").UIDless()
	c.create(ns)
	quota := &corev1.ResourceQuota{}
	quota.Name, quota.Namespace = "another", ns.Name
	c.create(quota)
	seen := quota.DeepCopy()
	seen.UID = "of the one before"
	o := c.absent(MakeWorkspace("replaced").Namespace(ns.Name))
	if err := operator.reconciler.remove(t.Context(), &o, "ResourceQuota/another", seen); !report.Passing(err) {
		t.Errorf("the answer is %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(quota), quota); err != nil || !quota.DeletionTimestamp.IsZero() {
		t.Errorf("the new one is gone: %v", err)
	}
	// What is gone already needs no deletion.
	if err := c.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	if err := operator.reconciler.remove(t.Context(), &o, "ResourceQuota/another", quota); err != nil {
		t.Errorf("it is gone, and the answer is %v", err)
	}
}

// TestARefusalToDeleteIsAFact has the operator delete what it has no right to delete.
func TestARefusalToDeleteIsAFact(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ns := MakeNamespace("undeletable").UIDless()
	c.create(ns)
	limits := &corev1.LimitRange{}
	limits.Name, limits.Namespace = "another", ns.Name
	c.create(limits)
	o := c.absent(MakeWorkspace("undeletable").Namespace(ns.Name))
	if err := operator.reconciler.remove(t.Context(), &o, "LimitRange/another", limits); err != nil {
		t.Errorf("it is an error: %v", err)
	}
	if refusal := o.refused["LimitRange/another"]; refusal.Kind != report.Forbidden || refusal.Message == "" {
		t.Errorf("the refusal is %+v", refusal)
	}
}
