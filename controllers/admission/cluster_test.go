package admission

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/world"
)

// TestOnlyItsOwnAttemptKeepsASlot checks that a Job or pod belongs to a WorkspaceJob by its
// UID, not by its name.
func TestOnlyItsOwnAttemptKeepsASlot(t *testing.T) {
	t.Parallel()
	meta := func(name, uid string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "acme", Name: name,
			Labels:      map[string]string{batchv1.JobNameLabel: "job-1"},
			Annotations: map[string]string{v1alpha1.AnnotationJobUID: uid},
		}
	}
	lost := meta("job-1-pod", "mine")
	lost.DeletionTimestamp = new(metav1.NewTime(begin.Add(-time.Minute)))
	over := batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}}
	for name, c := range map[string]struct {
		objects []client.Object
		want    bool
	}{
		"nothing":                       {nil, false},
		"its Job":                       {[]client.Object{&batchv1.Job{ObjectMeta: meta("job-1", "mine")}}, true},
		"its Job, which is over":        {[]client.Object{&batchv1.Job{ObjectMeta: meta("job-1", "mine"), Status: over}}, false},
		"another job's Job of its name": {[]client.Object{&batchv1.Job{ObjectMeta: meta("job-1", "another")}}, false},
		"a pod whose Job is gone":       {[]client.Object{&corev1.Pod{ObjectMeta: meta("job-1-pod", "mine")}}, true},
		"its pod on a lost node":        {[]client.Object{&corev1.Pod{ObjectMeta: lost}}, false},
		"another job's pod":             {[]client.Object{&corev1.Pod{ObjectMeta: meta("job-1-pod", "another")}}, false},
		"its pod behind another's Job":  {[]client.Object{&batchv1.Job{ObjectMeta: meta("job-1", "another")}, &corev1.Pod{ObjectMeta: meta("job-1-pod", "mine")}}, true},
	} {
		w := world.New(1, begin)
		for _, object := range c.objects {
			world.Add(w, object)
		}
		cluster := &Cluster{Client: w.Client(), APIReader: w.APIReader(), Clock: w.Clock}
		remains, err := cluster.Remains(t.Context(), "acme", Entry{Name: "job", UID: "mine", Job: "job-1"})
		if err != nil || remains != c.want {
			t.Errorf("%s: it remains: %t, %v", name, remains, err)
		}
	}
}
