package report

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestACacheThatIsBehindAWriteIsNotBelieved(t *testing.T) {
	t.Parallel()
	job := func(uid, version string) *v1alpha1.WorkspaceJob {
		return &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "job", UID: types.UID(uid), ResourceVersion: version}}
	}
	now := time.Now()
	for name, test := range map[string]struct {
		cached *v1alpha1.WorkspaceJob
		after  time.Duration
		want   bool
	}{
		"older":               {cached: job("a", "9"), want: true},
		"older, for a while":  {cached: job("a", "9"), after: catchUp - 1, want: true},
		"older, for long":     {cached: job("a", "9"), after: catchUp},
		"the same":            {cached: job("a", "10")},
		"newer":               {cached: job("a", "11")},
		"another of its name": {cached: job("b", "9")},
		"no version":          {cached: job("a", "")},
	} {
		clock := clocktesting.NewFakePassiveClock(now)
		w := written{clock: clock}
		w.note(job("a", "10"))
		clock.SetTime(now.Add(test.after))
		if got := w.unseen(test.cached); got != test.want {
			t.Errorf("%s: behind: %t", name, got)
		}
		if len(w.objects) == 1 != test.want {
			t.Errorf("%s: remembered: %t", name, len(w.objects) == 1)
		}
		w.forget(client.ObjectKeyFromObject(test.cached))
		if len(w.objects) != 0 {
			t.Errorf("%s: a job that is gone is remembered", name)
		}
	}
}
