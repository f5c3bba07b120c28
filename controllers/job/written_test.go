package job

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestWhatWasWrittenIsWaitedFor(t *testing.T) {
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
		w := newWritten()
		w.note(job("a", "10"), now)
		if got := w.unseen(test.cached, now.Add(test.after)); got != test.want {
			t.Errorf("%s: waited for: %t", name, got)
		}
		if len(w.jobs) == 1 != test.want {
			t.Errorf("%s: it is remembered: %t", name, len(w.jobs) == 1)
		}
		w.forget(client.ObjectKeyFromObject(test.cached))
		if len(w.jobs) != 0 {
			t.Errorf("%s: a job that is gone is remembered", name)
		}
	}
	var none *written
	none.note(job("a", "10"), now)
	none.forget(client.ObjectKeyFromObject(job("a", "9")))
	if none.unseen(job("a", "9"), now) {
		t.Error("one that remembers nothing remembers")
	}
}
