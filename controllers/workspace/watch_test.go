package workspace

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestWhatWakesTheReconciler checks that the counter's writes, every ten seconds in a busy
// workspace, do not wake the reconciler: no decision depends on them.
func TestWhatWakesTheReconciler(t *testing.T) {
	t.Parallel()
	hour := metav1.NewTime(noon().Truncate(time.Hour))
	for name, test := range map[string]struct {
		change func(*v1alpha1.Workspace)
		want   bool
	}{
		"nothing":          {func(*v1alpha1.Workspace) {}, false},
		"the counts":       {func(ws *v1alpha1.Workspace) { ws.Status.Jobs = &v1alpha1.JobCounts{Failed: 2} }, false},
		"the history":      {func(ws *v1alpha1.Workspace) { ws.Status.History = []v1alpha1.HourCount{{Hour: hour, Failed: 1}} }, false},
		"the spec":         {func(ws *v1alpha1.Workspace) { ws.Generation++ }, true},
		"the namespace":    {func(ws *v1alpha1.Workspace) { ws.Status.Namespace = "" }, true},
		"its own findings": {func(ws *v1alpha1.Workspace) { ws.Status.Conditions[0].Reason = "Edited" }, true},
	} {
		before := MakeWorkspace("acme").Generation(1).DatabaseReady(metav1.ConditionTrue, "DatabaseReady", "m", 1).Obj()
		before.Status.Namespace = "workspace-acme"
		after := before.DeepCopy()
		test.change(after)
		if got := exceptCounts().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != test.want {
			t.Errorf("%s changed: wakes: %t", name, got)
		}
	}
}
