package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestMigrationMakesTheDatabaseReady(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("migrated").Obj()
	c.create(ws)
	c.waitFor("migrated", v1alpha1.ConditionDatabaseReady, "False Migrating")
	c.endMigration(ws, 0, `{"result":{"schemaVersion":12}}`)
	ws = c.waitFor("migrated", v1alpha1.ConditionDatabaseReady, "True DatabaseReady")
	if ws.Status.SchemaVersion != 12 {
		t.Errorf("schemaVersion %d", ws.Status.SchemaVersion)
	}
	ws = c.waitFor("migrated", v1alpha1.ConditionReady, "True Ready")
	for kind, want := range map[string]string{
		v1alpha1.ConditionDatabaseReady: "True DatabaseReady", v1alpha1.ConditionReconciling: "none", v1alpha1.ConditionStalled: "none",
	} {
		if got := condition(ws, kind); got != want {
			t.Errorf("%s is %s, not %s", kind, got, want)
		}
	}
	c.hasEvents("migrated", v1alpha1.ReasonMigrating, v1alpha1.ReasonReady)
}

// hasEvents waits until the workspace has had an event of each reason.
func (c *clusterT) hasEvents(workspace string, reasons ...string) {
	c.t.Helper()
	testenv.Eventually(c.t, fmt.Sprintf("events %v", reasons), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := c.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		var seen []string
		for _, e := range list.Items {
			if e.Regarding.Kind == workspaceKind && e.Regarding.Name == workspace {
				seen = append(seen, e.Reason)
			}
		}
		for _, reason := range reasons {
			if !slices.Contains(seen, reason) {
				return fmt.Errorf("only %v", seen)
			}
		}
		return nil
	})
}

// TestMigrationPodIsAdmitted checks that Pod Security, quota and limits admit the pod.
func TestMigrationPodIsAdmitted(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("admitted").Obj()
	c.create(ws)
	job := c.endMigration(ws, 0, "")
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods, client.InNamespace(job.Namespace), client.MatchingLabels(labelsOf(ws))); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("%d pods carry the labels that the network policy selects", len(pods.Items))
	}
	pod := pods.Items[0]
	if pod.Spec.ServiceAccountName != v1alpha1.RunnerServiceAccount || pod.Spec.Containers[0].Resources.Limits.Memory().IsZero() {
		t.Errorf("service account %q, resources %v", pod.Spec.ServiceAccountName, pod.Spec.Containers[0].Resources)
	}
}

func TestMigrationIsTriedAgain(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("retried").Obj()
	c.create(ws)
	failed := c.endMigration(ws, 1, `{"error":"connection refused"}`)
	ws = c.waitFor("retried", v1alpha1.ConditionDatabaseReady, "False MigrationFailed")
	said := message(ws, v1alpha1.ConditionDatabaseReady)
	if !strings.Contains(said, "connection refused") || !strings.Contains(said, "The next try is due at 20") {
		t.Errorf("it says: %s", said)
	}
	if condition(ws, v1alpha1.ConditionReconciling) != "True MigrationFailed" || condition(ws, v1alpha1.ConditionStalled) != "none" {
		t.Errorf("Reconciling %s, Stalled %s", condition(ws, v1alpha1.ConditionReconciling), condition(ws, v1alpha1.ConditionStalled))
	}
	second := c.migration(ws, 2)
	if wait := second.CreationTimestamp.Sub(failed.CreationTimestamp.Time); wait < minRetry {
		t.Errorf("tried again after %s", wait)
	}
	c.goes("the failed try", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(failed), &batchv1.Job{}) })
	testenv.Eventually(t, "its pod is gone", func(ctx context.Context) error {
		var pods corev1.PodList
		err := c.List(ctx, &pods, client.InNamespace(failed.Namespace), client.MatchingLabels{batchv1.JobNameLabel: failed.Name})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("there is %s", pods.Items[0].Name)
		}
		return err
	})
	if got := condition(c.workspace("retried"), v1alpha1.ConditionDatabaseReady); got != "False MigrationFailed" && got != "False MigrationPending" {
		t.Errorf("while it is tried again: %s", got)
	}
	c.endTry(ws, 2, 0, `{"result":{"schemaVersion":3}}`)
	c.waitFor("retried", v1alpha1.ConditionReady, "True Ready")
	c.hasEvents("retried", v1alpha1.ReasonMigrationFailed, v1alpha1.ReasonReady)
}

func TestMigrationThatIsRefusedStalls(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("refused").Obj()
	c.create(ws)
	c.endMigration(ws, 65, `{"error":"schema \"hangfire\" holds tables of Hangfire itself: choose another database.schema"}`)
	ws = c.waitFor("refused", v1alpha1.ConditionStalled, "True DatabaseRefused")
	if said := message(ws, v1alpha1.ConditionDatabaseReady); !strings.Contains(said, "choose another database.schema") {
		t.Errorf("it says: %s", said)
	}
	// Another schema is tried at once.
	c.update("refused", func(ws *v1alpha1.Workspace) { ws.Spec.Database.Schema = "jobs" })
	ws = c.workspace("refused")
	c.endMigration(ws, 0, "")
	ws = c.waitFor("refused", v1alpha1.ConditionReady, "True Ready")
	if got := condition(ws, v1alpha1.ConditionStalled); got != "none" {
		t.Errorf("Stalled %s", got)
	}
}

// full gives ws a namespace in which a quota of the test's own is used up. The API server
// counts by it before the operator creates the first object.
func (c *clusterT) full(ws *v1alpha1.Workspace, of corev1.ResourceName) *corev1.ResourceQuota {
	c.t.Helper()
	c.create(MakeNamespace(ws.NamespaceName()).For(ws.Name).UIDless())
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: ws.NamespaceName()},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{of: resource.MustParse("0")}},
	}
	c.create(quota)
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "b"}}}
	var probe client.Object = &corev1.Pod{Spec: pod}
	if of != corev1.ResourcePods {
		probe = &batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}}
	}
	probe.SetName("probe")
	probe.SetNamespace(quota.Namespace)
	testenv.Eventually(c.t, "the quota holds", func(ctx context.Context) error {
		if err := c.Create(ctx, probe.DeepCopyObject().(client.Object), client.DryRunAll); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
			return fmt.Errorf("a probe is answered with: %w", err)
		}
		return nil
	})
	return quota
}

// TestAForbiddenMigrationIsReported has a quota that forbids the Job, and checks that the
// operator waits until there is room.
func TestAForbiddenMigrationIsReported(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("forbidden").Obj()
	quota := c.full(ws, "count/jobs.batch")
	c.create(ws)
	testenv.Eventually(t, "the refusal is reported", func(context.Context) error {
		ws = c.workspace("forbidden")
		if got, said := condition(ws, v1alpha1.ConditionReconciling), message(ws, v1alpha1.ConditionReconciling); got != "True ReconcileError" || !strings.Contains(said, "exceeded quota") {
			return fmt.Errorf("%s: %s", got, said)
		}
		return nil
	})
	if got := condition(ws, v1alpha1.ConditionStalled); got != "none" {
		t.Errorf("Stalled %s", got)
	}
	// A refusal is a fact: an error would be tried again after ever longer times.
	if _, err := operator.reconciler.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(ws)}); err != nil {
		t.Errorf("it is an error: %v", err)
	}
	if err := c.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	c.endMigration(ws, 0, "")
	c.waitFor("forbidden", v1alpha1.ConditionReady, "True Ready")
}

func TestMigrationThatGetsNoPodReportsWhy(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	pending := MakeWorkspace("pending").Obj()
	c.full(pending, "pods")
	c.create(pending)
	ws := c.waitFor("pending", v1alpha1.ConditionDatabaseReady, "False MigrationPending")
	if said := message(ws, v1alpha1.ConditionReady); !strings.Contains(said, "exceeded quota") {
		t.Errorf("it says: %s", said)
	}
}

func TestMigrationWhosePodIsNotScheduledReportsWhy(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("unscheduled").Obj()
	c.create(ws)
	job := c.migration(ws, 1)
	pod := c.env.PodOf(t, job)
	before := pod.DeepCopy()
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available",
	}}
	if err := c.Status().Patch(t.Context(), pod, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	ws = c.waitFor("unscheduled", v1alpha1.ConditionDatabaseReady, "False MigrationPending")
	if said := message(ws, v1alpha1.ConditionReady); !strings.Contains(said, "0/1 nodes are available") {
		t.Errorf("it says: %s", said)
	}
}

func TestNewImageMigratesAgain(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("upgraded").Image("runner:1").Obj())
	old := migrationJob(ws, 1)
	c.update("upgraded", func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Image = "runner:2" })
	ws = c.waitFor("upgraded", v1alpha1.ConditionDatabaseReady, "False Migrating")
	c.endMigration(ws, 0, `{"result":{"schemaVersion":8}}`)
	ws = c.waitFor("upgraded", v1alpha1.ConditionReady, "True Ready")
	if ws.Status.SchemaVersion != 8 {
		t.Errorf("schemaVersion %d", ws.Status.SchemaVersion)
	}
	c.goes("the old migration", func() error { return c.Get(t.Context(), client.ObjectKeyFromObject(old), &batchv1.Job{}) })
}

func TestWhatDoesNotTouchTheLedgerMigratesNothing(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("resized").Obj())
	done := c.migration(ws, 1)
	c.update("resized", func(ws *v1alpha1.Workspace) {
		ws.Spec.Runner.Resources = &v1alpha1.Resources{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}}
	})
	before := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionDatabaseReady)
	ws = c.waitFor("resized", v1alpha1.ConditionReady, "True Ready")
	since := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionDatabaseReady)
	if !since.LastTransitionTime.Equal(&before.LastTransitionTime) || since.ObservedGeneration != ws.Generation {
		t.Errorf("DatabaseReady %+v, before %+v", since, before)
	}
	var jobs batchv1.JobList
	if err := c.List(t.Context(), &jobs, client.InNamespace(ws.Status.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) != 1 || jobs.Items[0].UID != done.UID {
		t.Errorf("%d Jobs", len(jobs.Items))
	}
}

// TestLostMigrationIsRunAgainQuietly checks that the workspace stays ready meanwhile.
func TestLostMigrationIsRunAgainQuietly(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := c.ready(MakeWorkspace("quiet").Obj())
	lost := c.migration(ws, 1)
	if err := c.Delete(t.Context(), lost, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the migration runs again", func(ctx context.Context) error {
		again := migrationJob(ws, 1)
		err := c.Get(ctx, client.ObjectKeyFromObject(again), again)
		if err == nil && again.UID == lost.UID {
			return errors.New("it is still the old one")
		}
		return err
	})
	c.endMigration(ws, 0, `{"result":{"schemaVersion":9}}`)
	testenv.Eventually(t, "its result is seen", func(context.Context) error {
		if got := c.workspace("quiet").Status.SchemaVersion; got != 9 {
			return fmt.Errorf("schemaVersion %d", got)
		}
		return nil
	})
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionDatabaseReady} {
		i := slices.IndexFunc(ws.Status.Conditions, func(c metav1.Condition) bool { return c.Type == kind })
		was := ws.Status.Conditions[i].LastTransitionTime
		now := c.workspace("quiet").Status.Conditions
		if is := now[slices.IndexFunc(now, func(c metav1.Condition) bool { return c.Type == kind })].LastTransitionTime; !is.Equal(&was) {
			t.Errorf("%s went away at %s", kind, is)
		}
	}
}

func TestPlantedMigrationIsNotTakenOver(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	ws := MakeWorkspace("planted").Namespace("planted").Obj()
	c.create(MakeNamespace("planted").UIDless())
	planted := migrationJob(ws, 1)
	planted.OwnerReferences = nil
	planted.Spec.Suspend = new(true)
	c.create(planted)
	c.label("planted", v1alpha1.LabelWorkspace, "planted")
	c.create(ws)
	ws = c.waitFor("planted", v1alpha1.ConditionStalled, "True NameTaken")
	if said := message(ws, v1alpha1.ConditionStalled); !strings.Contains(said, planted.Name) {
		t.Errorf("it says: %s", said)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(planted), planted); err != nil || len(planted.OwnerReferences) > 0 {
		t.Errorf("touched: %v, %v", planted.OwnerReferences, err)
	}
}
