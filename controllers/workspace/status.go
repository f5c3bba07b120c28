package workspace

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// report writes the status if it has changed, and tells an event if Ready has:
// only after the write, so that no event tells what didn't happen. The patch holds
// only fields of this reconciler; status.jobs is the counter's.
func (r *Reconciler) report(ctx context.Context, ws *v1alpha1.Workspace, status v1alpha1.WorkspaceStatus) error {
	if equality.Semantic.DeepEqual(ws.Status, status) {
		return nil
	}
	after := ws.DeepCopy()
	after.Status = status
	if err := r.Client.Status().Patch(ctx, after, client.MergeFrom(ws)); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	was := meta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if is != nil && (was == nil || was.Reason != is.Reason) {
		r.Recorder.Eventf(ws, nil, eventType(is.Reason), is.Reason, "Reconcile", "%s", is.Message)
	}
	return nil
}

func eventType(reason string) string {
	switch reason {
	case v1alpha1.ReasonReady, v1alpha1.ReasonMigrating, v1alpha1.ReasonQuotaPending, v1alpha1.ReasonNamespaceTerminating:
		return corev1.EventTypeNormal
	default:
		return corev1.EventTypeWarning
	}
}

// statusOf lays a verdict over the status that ws has.
func statusOf(ws *v1alpha1.Workspace, v verdict, now time.Time) v1alpha1.WorkspaceStatus {
	status := *ws.Status.DeepCopy()
	status.ObservedGeneration = ws.Generation
	status.Namespace = v.namespace
	if v.schemaVersion > 0 {
		status.SchemaVersion = v.schemaVersion
	}
	c := conditions{list: &status.Conditions, generation: ws.Generation, now: now}
	c.setTruth(v1alpha1.ConditionReady, v.ready)
	switch {
	case v.database != nil:
		c.setTruth(v1alpha1.ConditionDatabaseReady, *v.database)
	case !c.has(v1alpha1.ConditionDatabaseReady):
		c.setTruth(v1alpha1.ConditionDatabaseReady, v.ready)
	}
	c.setWhile(v1alpha1.ConditionReconciling, phaseProgress, v.ready)
	c.setWhile(v1alpha1.ConditionStalled, phaseStalled, v.ready)
	return status
}

// statusOfAct is the status after an error in acting on a verdict.
func statusOfAct(ws *v1alpha1.Workspace, v verdict, err error, now time.Time) v1alpha1.WorkspaceStatus {
	var stalled *stalledError
	if errors.As(err, &stalled) {
		return statusOf(ws, verdict{namespace: v.namespace, ready: stalled.finding}, now)
	}
	return statusOfError(ws, err, now)
}

// statusOfError says that the operator keeps trying. What it last knew of the
// workspace stays: it may well be so still, and jobs go on.
func statusOfError(ws *v1alpha1.Workspace, err error, now time.Time) v1alpha1.WorkspaceStatus {
	status := *ws.Status.DeepCopy()
	if passing(err) {
		return status
	}
	why := progress(v1alpha1.ReasonReconcileError, err.Error())
	c := conditions{list: &status.Conditions, generation: ws.Generation, now: now}
	if !c.has(v1alpha1.ConditionReady) {
		c.setTruth(v1alpha1.ConditionReady, why)
	}
	c.setWhile(v1alpha1.ConditionReconciling, phaseProgress, why)
	return status
}

// conditions of one status, of one generation.
type conditions struct {
	list       *[]metav1.Condition
	generation int64
	now        time.Time
}

func (c conditions) has(kind string) bool { return meta.FindStatusCondition(*c.list, kind) != nil }

// setTruth sets a condition that is always there: True when ready.
func (c conditions) setTruth(kind string, f finding) {
	status := metav1.ConditionFalse
	if f.phase == phaseReady {
		status = metav1.ConditionTrue
	}
	c.set(kind, status, f)
}

// setWhile sets a condition that is there only in this phase.
func (c conditions) setWhile(kind string, in phase, f finding) {
	if f.phase != in {
		meta.RemoveStatusCondition(c.list, kind)
		return
	}
	c.set(kind, metav1.ConditionTrue, f)
}

func (c conditions) set(kind string, status metav1.ConditionStatus, f finding) {
	meta.SetStatusCondition(c.list, metav1.Condition{
		Type: kind, Status: status, Reason: f.reason, Message: f.message,
		ObservedGeneration: c.generation, LastTransitionTime: metav1.NewTime(c.now),
	})
}
