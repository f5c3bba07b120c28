package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestWhatLuaWouldChange checks that an action fails for an object that it could not return
// unchanged.
func TestWhatLuaWouldChange(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	values := []string{`{"octets":9007199254740993}`, `{"deep":[{"id":-9007199254740993}]}`, `{"list":[{}]}`}
	for _, row := range []struct {
		object  any
		path    string
		values  []string
		actions string
	}{
		{recurring(false), "spec.template.args", values, "pause resume"},
		{job("Failed", "RetriesExhausted", false), "spec.args", values, "requeue cancel"},
		{job("Failed", "RetriesExhausted", false), "status.template.args", values, "requeue cancel"},
		// An egress rule that allows everything.
		{workspace(false), "spec.network.egress", []string{`[{}]`}, "pause resume"},
	} {
		for _, value := range row.values {
			u := live(t, row.object)
			set(t, u, value, strings.Split(row.path, ".")...)
			for action := range strings.FieldsSeq(row.actions) {
				if _, err := act(t, vm, u, action); err == nil || !strings.Contains(err.Error(), "use kubectl patch") {
					t.Errorf("%s with %s %s: %v", action, row.path, value, err)
				}
			}
		}
	}
}

// TestRequeueByClock checks that requeueAt is after the job's end: otherwise it has no effect.
func TestRequeueByClock(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	const again = "try again in a moment"
	for name, row := range map[string]struct {
		// ended is how long ago the job ended; nil: it has not.
		ended *time.Duration
		want  string
	}{
		"not finished":              {nil, "the job has not finished: there is nothing to run again"},
		"Argo CD's clock is behind": {new(-time.Minute), again},
		"a moment later":            {new(2 * time.Second), ""},
	} {
		j := job(v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted, false)
		if row.ended != nil {
			j.Status.FinishedAt = new(metav1.NewTime(time.Now().Add(-*row.ended)))
		}
		_, err := act(t, vm, live(t, j), "requeue")
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case row.want != "" && (err == nil || !strings.HasSuffix(err.Error(), row.want)):
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
}

// TestRequeueInTheSecondOfTheEnd checks that a job can't be requeued in the second of its end: it
// has to have finished before requeueAt.
func TestRequeueInTheSecondOfTheEnd(t *testing.T) {
	t.Parallel()
	vm := engine(t)
	j := job(v1alpha1.StateFailed, v1alpha1.ReasonRetriesExhausted, false)
	for {
		now := time.Now()
		j.Status.FinishedAt = new(metav1.NewTime(now))
		_, err := act(t, vm, live(t, j), "requeue")
		if time.Now().Unix() != now.Unix() {
			continue
		}
		if err == nil {
			t.Error("a requeueAt that does nothing was set")
		}
		return
	}
}
