package workspace

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// says is a status's conditions, as "Type Status Reason".
func says(status v1alpha1.WorkspaceStatus) []string {
	var lines []string
	for _, c := range status.Conditions {
		lines = append(lines, c.Type+" "+string(c.Status)+" "+c.Reason)
	}
	return lines
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	ready := finding{phaseReady, "Ready", "Jobs can run."}
	database := finding{phaseReady, "DatabaseReady", "in place"}
	migrating, refused := progress("Migrating", "m"), stall("DatabaseRefused", "r")
	for name, test := range map[string]struct {
		v    verdict
		want []string
	}{
		"ready":           {verdict{ready: ready, database: &database}, []string{"Ready True Ready", "DatabaseReady True DatabaseReady"}},
		"on its way":      {verdict{ready: migrating, database: &migrating}, []string{"Ready False Migrating", "DatabaseReady False Migrating", "Reconciling True Migrating"}},
		"stalled":         {verdict{ready: refused, database: &refused}, []string{"Ready False DatabaseRefused", "DatabaseReady False DatabaseRefused", "Stalled True DatabaseRefused"}},
		"nothing known":   {verdict{ready: stall("NameTaken", "t")}, []string{"Ready False NameTaken", "DatabaseReady False NameTaken", "Stalled True NameTaken"}},
		"quota not ready": {verdict{ready: progress("QuotaPending", "q"), database: &database}, []string{"Ready False QuotaPending", "DatabaseReady True DatabaseReady", "Reconciling True QuotaPending"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := MakeWorkspace("acme").Generation(4).Obj()
			ws.Status.Jobs = &v1alpha1.JobCounts{Failed: 1}
			status := statusOf(ws, test.v, noon())
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
			// What was said of another phase goes away.
			ws.Status = status
			again := statusOf(ws, verdict{ready: ready, database: &database}, noon().Add(time.Hour))
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
	if got := statusOf(ws, verdict{}, noon()).SchemaVersion; got != 5 {
		t.Errorf("version %d", got)
	}
	if got := statusOf(ws, verdict{schemaVersion: 4}, noon()).SchemaVersion; got != 4 {
		t.Errorf("version %d", got)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	thing := schema.GroupResource{Resource: "things"}
	kind := schema.GroupKind{Kind: "Thing"}
	for name, test := range map[string]struct {
		err   error
		want  []string
		after time.Duration
		retry bool
	}{
		"conflict":         {apierrors.NewConflict(thing, "t", errors.New("c")), []string{"Ready True Ready"}, soon, false},
		"not found":        {apierrors.NewNotFound(thing, "t"), []string{"Ready True Ready"}, soon, false},
		"already exists":   {apierrors.NewAlreadyExists(thing, "t"), []string{"Ready True Ready"}, soon, false},
		"a matter of time": {&waitError{}, []string{"Ready True Ready"}, soon, false},
		"invalid":          {apierrors.NewInvalid(kind, "t", nil), []string{"Ready False InvalidSpec", "DatabaseReady False InvalidSpec", "Stalled True InvalidSpec"}, maxRetry, false},
		"a name is taken":  {&stalledError{stall("NameTaken", "t"), strangerLook}, []string{"Ready False NameTaken", "DatabaseReady False NameTaken", "Stalled True NameTaken"}, strangerLook, false},
		"forbidden":        {apierrors.NewForbidden(thing, "t", errors.New("no")), []string{"Ready True Ready", "Reconciling True ReconcileError"}, 0, true},
		"a network's":      {errors.New("connection refused"), []string{"Ready True Ready", "Reconciling True ReconcileError"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := MakeWorkspace("acme").Obj()
			ws.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready"}}
			err := terminal(test.err)
			if diff := cmp.Diff(test.want, says(statusOfAct(ws, verdict{}, err, noon()))); diff != "" {
				t.Error(diff)
			}
			result, err := settle(err)
			if result.RequeueAfter != test.after || (err != nil) != test.retry {
				t.Errorf("after %s, error %v", result.RequeueAfter, err)
			}
		})
	}
}

func TestEqualCounts(t *testing.T) {
	t.Parallel()
	a, b := &v1alpha1.JobCounts{Failed: 1}, &v1alpha1.JobCounts{Failed: 2}
	if !equalCounts(nil, nil) || equalCounts(a, nil) || equalCounts(nil, a) || equalCounts(a, b) || !equalCounts(a, a) {
		t.Error("counts are compared wrongly")
	}
}
