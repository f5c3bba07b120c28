package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestAPlantedJobIsNoAttempt checks that a planted Job with the name and labels of an
// attempt is neither adopted nor deleted, and that its result is not used.
func TestAPlantedJobIsNoAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "planted-job")
	planted := tn.stolen("trap-1")
	if err := tn.insider.Create(t.Context(), planted.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("a Job that looks like an attempt: %v", err)
	}
	if err := tn.kubernetes.Create(t.Context(), planted); err != nil {
		t.Fatal(err)
	}
	tn.finished(planted)
	if err := tn.editor.Create(t.Context(), tn.job("trap")); err != nil {
		t.Fatal(err)
	}
	job := tn.stalledBy("trap")
	if len(job.Status.Attempts) > 0 || job.Status.Result != nil || !strings.Contains(job.Status.Message, `"trap-1"`) {
		t.Errorf("the planted Job counts as an attempt: %+v", job.Status)
	}
	tn.untouched(planted)
	// Once it is gone, the job runs.
	if err := tn.admin.Delete(t.Context(), planted, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	tn.waitState("trap", v1alpha1.StateSucceeded)
}

// TestAPlantedJobOfAnEarlierWorkspaceJobIsNoAttempt uses the same name with another UID.
func TestAPlantedJobOfAnEarlierWorkspaceJobIsNoAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "planted-earlier")
	planted := tn.stolen("again-1")
	planted.Annotations = map[string]string{v1alpha1.AnnotationJobUID: "of-an-earlier-one", v1alpha1.AnnotationRun: "1"}
	planted.OwnerReferences = nil
	if err := tn.kubernetes.Create(t.Context(), planted); err != nil {
		t.Fatal(err)
	}
	tn.finished(planted)
	if err := tn.editor.Create(t.Context(), tn.job("again")); err != nil {
		t.Fatal(err)
	}
	if job := tn.stalledBy("again"); len(job.Status.Attempts) > 0 {
		t.Errorf("an earlier job's attempt counts as one of this job: %+v", job.Status)
	}
	tn.untouched(planted)
}

// TestAPlantedCronJobIsNoSchedule checks that a planted CronJob is left alone, and that the
// recurring job reports that it is in the way.
func TestAPlantedCronJobIsNoSchedule(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "planted-cron")
	planted := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: "nightly", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", Suspend: new(true), JobTemplate: batchv1.JobTemplateSpec{Spec: tn.stolen("any").Spec}},
	}
	if err := tn.insider.Create(t.Context(), planted.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("a CronJob that looks like the operator's: %v", err)
	}
	if err := tn.kubernetes.Create(t.Context(), planted); err != nil {
		t.Fatal(err)
	}
	recurring := objects.MakeWorkspaceRecurringJob("nightly").In(tn.namespace).Obj()
	if err := tn.editor.Create(t.Context(), recurring); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the recurring job is Stalled: NameTaken", func(ctx context.Context) error {
		if err := tn.admin.Get(ctx, client.ObjectKeyFromObject(recurring), recurring); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(recurring.Status.Conditions, v1alpha1.ConditionStalled)
		if condition == nil || condition.Reason != v1alpha1.ReasonNameTaken {
			return fmt.Errorf("its conditions are %+v", recurring.Status.Conditions)
		}
		return nil
	})
	tn.untouched(planted)
}

// TestAPlantedFenceIsReportedAndLeftAlone checks that, in a namespace that is handed over,
// an object with the name of one of the operator's stays as it is and keeps jobs from
// running.
func TestAPlantedFenceIsReportedAndLeftAlone(t *testing.T) {
	t.Parallel()
	shared.Operator(t)
	for name, plant := range map[string]client.Object{
		"planted-binding": &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "workspace-jobs-editor"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "mallory"}},
		},
		"planted-account": &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "runner"}},
		"planted-policy": &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "workspace-jobs-default-deny"},
			Spec: networkingv1.NetworkPolicySpec{
				Ingress: []networkingv1.NetworkPolicyIngressRule{{}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			},
		},
		"planted-quota": &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "workspace-jobs"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tn := &tenant{T: t, name: name, namespace: "workspace-" + name, admin: shared.Env(t).Client}
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tn.namespace}}
			if err := tn.admin.Create(t.Context(), namespace); err != nil {
				t.Fatal(err)
			}
			plant.SetNamespace(tn.namespace)
			if err := tn.admin.Create(t.Context(), plant); err != nil {
				t.Fatal(err)
			}
			before := namespace.DeepCopy()
			namespace.Labels[v1alpha1.LabelWorkspace] = name
			namespace.Annotations = map[string]string{v1alpha1.AnnotationAdoptedBy: testenv.AdminUser}
			if err := tn.admin.Patch(t.Context(), namespace, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			ws := objects.MakeWorkspace(name).Member(v1alpha1.RoleEditor, "ana").Obj()
			if err := tn.admin.Create(t.Context(), ws); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, "the Workspace is Stalled: NameTaken", func(ctx context.Context) error {
				if err := tn.admin.Get(ctx, client.ObjectKeyFromObject(ws), ws); err != nil {
					return err
				}
				condition := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionStalled)
				if condition == nil || condition.Reason != v1alpha1.ReasonNameTaken || !strings.Contains(condition.Message, `"`+plant.GetName()+`"`) {
					return fmt.Errorf("its conditions are %+v", ws.Status.Conditions)
				}
				return nil
			})
			tn.untouched(plant)
			if err := tn.admin.Create(t.Context(), tn.job("waits")); err != nil {
				t.Fatal(err)
			}
			tn.waitJob("waits", "waits for its workspace", func(job *v1alpha1.WorkspaceJob) bool {
				return job.Status.State == v1alpha1.StateEnqueued && len(job.Status.Attempts) == 0
			})
		})
	}
}

// stolen returns a copy of another job's attempt under a new name.
func (tn *tenant) stolen(name string) *batchv1.Job {
	tn.Helper()
	bait := "bait-" + name
	if err := tn.editor.Create(tn.Context(), tn.job(bait)); err != nil {
		tn.Fatal(err)
	}
	tn.waitState(bait, v1alpha1.StateSucceeded)
	child := tn.attempt(bait)
	child.ObjectMeta = metav1.ObjectMeta{Namespace: tn.namespace, Name: name, Labels: child.Labels, Annotations: child.Annotations, OwnerReferences: child.OwnerReferences}
	child.Spec.Selector, child.Spec.ManualSelector, child.Status = nil, nil, batchv1.JobStatus{}
	for _, labels := range []map[string]string{child.Labels, child.Spec.Template.Labels} {
		for _, label := range []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name"} {
			delete(labels, label)
		}
	}
	return child
}

func (tn *tenant) finished(planted *batchv1.Job) {
	tn.Helper()
	testenv.Eventually(tn, "the planted Job has ended", func(ctx context.Context) error {
		if err := tn.admin.Get(ctx, client.ObjectKeyFromObject(planted), planted); err != nil {
			return err
		}
		if planted.Status.Succeeded == 0 {
			return errors.New("it has not ended")
		}
		return nil
	})
}

// untouched checks that a planted object has not been changed or deleted.
func (tn *tenant) untouched(planted client.Object) {
	tn.Helper()
	live, ok := planted.DeepCopyObject().(client.Object)
	if !ok {
		tn.Fatal("the copy of an object is not an object")
	}
	if err := tn.admin.Get(tn.Context(), client.ObjectKeyFromObject(planted), live); err != nil {
		tn.Fatal(err)
	}
	if live.GetUID() != planted.GetUID() || live.GetGeneration() != planted.GetGeneration() || live.GetDeletionTimestamp() != nil ||
		len(live.GetOwnerReferences()) != len(planted.GetOwnerReferences()) || len(live.GetLabels()) != len(planted.GetLabels()) {
		tn.Errorf("the planted object has changed: %+v", live)
	}
}
