package ledger

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rows  []runRow
		want  step
		newer int
	}{
		"nothing known":     {want: step{}},
		"given back":        {rows: []runRow{{Run: 2, State: stateScheduled, Token: 3}}, want: step{newestToken: 3}},
		"failed before":     {rows: []runRow{{Run: 2, State: stateFailed, Token: 3}}, want: step{newestToken: 3}},
		"succeeded":         {rows: []runRow{{Run: 2, State: stateSucceeded, Result: "{}"}}, want: step{done: true, result: "{}"}},
		"leased":            {rows: []runRow{{Run: 2, State: stateProcessing, Token: 1, LeaseMS: 500}}, want: step{wait: 500 * time.Millisecond, takeover: true, newestToken: 1}},
		"lease ran out":     {rows: []runRow{{Run: 2, State: stateProcessing, Token: 1, LeaseMS: -9}}, want: step{takeover: true, newestToken: 1}},
		"older run leased":  {rows: []runRow{{Run: 1, State: stateProcessing, Token: 8, LeaseMS: 9}}, want: step{wait: 9 * time.Millisecond, takeover: true}},
		"older run ran out": {rows: []runRow{{Run: 1, State: stateProcessing, Token: 8}, {Run: 2, State: stateScheduled, Token: 1}}, want: step{takeover: true, newestToken: 1}},
		"newer run began":   {rows: []runRow{{Run: 2, State: stateScheduled}, {Run: 3, State: stateScheduled}}, newer: 3},
		"succeeded before a newer run": {
			rows: []runRow{{Run: 2, State: stateSucceeded}, {Run: 3, State: stateProcessing}}, want: step{done: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decide(2, test.rows)
			var superseded *SupersededError
			if errors.As(err, &superseded) != (test.newer > 0) || test.newer > 0 && superseded.Newer != test.newer {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(step{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
