package workspace

import (
	"testing"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestKstatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ready report.Finding
		want  status.Status
	}{
		"ready":    {report.Finding{Phase: report.Ready, Reason: v1alpha1.ReasonReady, Message: "Jobs can run."}, status.CurrentStatus},
		"progress": {progress(v1alpha1.ReasonMigrating, "it migrates"), status.InProgressStatus},
		"stalled":  {stall(v1alpha1.ReasonNamespaceTaken, "it is taken"), status.FailedStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := MakeWorkspace("acme").Generation(2).Obj()
			ws.Status.ObservedGeneration = -1
			if got := testenv.Kstatus(t, ws); got != status.InProgressStatus {
				t.Errorf("before the operator has seen it: %s", got)
			}
			ws.Status = statusOf(nothing(ws), decision{ready: c.ready, database: &c.ready})
			if got := testenv.Kstatus(t, ws); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			ws.Generation++
			if got := testenv.Kstatus(t, ws); got != status.InProgressStatus {
				t.Errorf("after a change that the operator has not seen: %s", got)
			}
		})
	}
}
