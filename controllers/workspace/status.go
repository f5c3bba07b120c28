package workspace

import (
	"k8s.io/apimachinery/pkg/api/meta"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// changeOf returns what to report when the workspace's status becomes the given one.
func changeOf(ws *v1alpha1.Workspace, status v1alpha1.WorkspaceStatus) report.Change {
	after := ws.DeepCopy()
	after.Status = status
	change := report.Change{Before: ws, After: after}
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason != report.Reason(ws.Status.Conditions) {
		change.Events = []report.Event{{Type: eventType(ready.Reason), Reason: ready.Reason, Note: ready.Message}}
	}
	return change
}

func eventType(reason string) string {
	switch reason {
	case v1alpha1.ReasonReady, v1alpha1.ReasonMigrating, v1alpha1.ReasonQuotaPending, v1alpha1.ReasonNamespaceTerminating:
		return corev1.EventTypeNormal
	default:
		return corev1.EventTypeWarning
	}
}

// statusOf returns the workspace's status, updated with the findings.
func statusOf(o observed, d decision) v1alpha1.WorkspaceStatus {
	ws := o.workspace
	status := *ws.Status.DeepCopy()
	c := report.Conditions{List: &status.Conditions, Generation: ws.Generation, Now: o.now}
	if d.keepReady {
		if report.Passing(o.failed) {
			return status
		}
		if !c.Has(v1alpha1.ConditionReady) {
			c.SetTruth(v1alpha1.ConditionReady, d.ready)
		}
		c.SetWhile(v1alpha1.ConditionReconciling, report.Progressing, d.ready)
		return status
	}
	status.ObservedGeneration = ws.Generation
	status.Namespace, status.AdoptedBy = d.namespace, d.adoptedBy
	if d.schemaVersion > 0 {
		status.SchemaVersion = d.schemaVersion
	}
	c.Summarize(d.ready)
	switch {
	case d.database != nil:
		c.SetTruth(v1alpha1.ConditionDatabaseReady, *d.database)
	case !c.Has(v1alpha1.ConditionDatabaseReady):
		c.SetTruth(v1alpha1.ConditionDatabaseReady, d.ready)
	}
	return status
}
