package workspace

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
)

// says returns a status's conditions, as "Type Status Reason".
func says(status v1alpha1.WorkspaceStatus) []string {
	var lines []string
	for _, c := range status.Conditions {
		lines = append(lines, c.Type+" "+string(c.Status)+" "+c.Reason)
	}
	return lines
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	ready := report.Finding{Phase: report.Ready, Reason: "Ready", Message: "Jobs can run."}
	database := report.Finding{Phase: report.Ready, Reason: "DatabaseReady", Message: "up to date"}
	migrating, refused := progress("Migrating", "m"), stall("DatabaseRefused", "r")
	for name, test := range map[string]struct {
		d    decision
		want []string
	}{
		"ready":           {decision{ready: ready, database: &database}, []string{"Ready True Ready", "DatabaseReady True DatabaseReady"}},
		"on its way":      {decision{ready: migrating, database: &migrating}, []string{"Ready False Migrating", "Reconciling True Migrating", "DatabaseReady False Migrating"}},
		"stalled":         {decision{ready: refused, database: &refused}, []string{"Ready False DatabaseRefused", "Stalled True DatabaseRefused", "DatabaseReady False DatabaseRefused"}},
		"nothing known":   {decision{ready: stall("NameTaken", "t")}, []string{"Ready False NameTaken", "Stalled True NameTaken", "DatabaseReady False NameTaken"}},
		"quota not ready": {decision{ready: progress("QuotaPending", "q"), database: &database}, []string{"Ready False QuotaPending", "Reconciling True QuotaPending", "DatabaseReady True DatabaseReady"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := MakeWorkspace("acme").Generation(4).Obj()
			ws.Status.Jobs = &v1alpha1.JobCounts{Failed: 1}
			status := statusOf(nothing(ws), test.d)
			if diff := cmp.Diff(test.want, says(status)); diff != "" {
				t.Error(diff)
			}
			for _, c := range status.Conditions {
				if c.ObservedGeneration != 4 || !c.LastTransitionTime.Time.Equal(noon()) || c.Message == "" {
					t.Errorf("%+v", c)
				}
			}
			if status.ObservedGeneration != 4 || status.Jobs == nil {
				t.Errorf("%+v", status)
			}
			// The conditions of another phase are removed.
			ws.Status = status
			again := statusOf(nothing(ws), decision{ready: ready, database: &database})
			if diff := cmp.Diff([]string{"Ready True Ready", "DatabaseReady True DatabaseReady"}, says(again)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSchemaVersionIsKept(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	ws.Status.SchemaVersion = 5
	if got := statusOf(nothing(ws), decision{}).SchemaVersion; got != 5 {
		t.Errorf("version %d", got)
	}
	if got := statusOf(nothing(ws), decision{schemaVersion: 4}).SchemaVersion; got != 4 {
		t.Errorf("version %d", got)
	}
}

func TestAnEventFollowsTheReason(t *testing.T) {
	t.Parallel()
	ws := MakeWorkspace("acme").Obj()
	ready := decision{ready: report.Finding{Phase: report.Ready, Reason: "Ready", Message: "Jobs can run."}}
	taken := decision{ready: stall("NameTaken", "it is taken")}
	ws.Status = statusOf(nothing(ws), ready)
	for name, test := range map[string]struct {
		d    decision
		want []report.Event
	}{
		"the same":       {ready, nil},
		"another reason": {taken, []report.Event{{Type: "Warning", Reason: "NameTaken", Note: "it is taken"}}},
		"migrating":      {decision{ready: progress("Migrating", "m")}, []report.Event{{Type: "Normal", Reason: "Migrating", Note: "m"}}},
	} {
		change := changeOf(ws, statusOf(nothing(ws), test.d))
		if diff := cmp.Diff(test.want, change.Events); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if change.Before != ws {
			t.Errorf("%s: before is %v", name, change.Before)
		}
	}
}
