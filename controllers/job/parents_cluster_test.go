package job

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func after(names ...string) func(*v1alpha1.WorkspaceJobSpec) {
	return func(spec *v1alpha1.WorkspaceJobSpec) {
		for _, name := range names {
			spec.After = append(spec.After, v1alpha1.Parent{Name: name, When: v1alpha1.AfterSucceeded})
		}
	}
}

// TestAChainAppliedInAnyOrder creates the last job first.
func TestAChainAppliedInAnyOrder(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain")
	c.submit("sync", after("report", "cleanup"))
	c.wantSaid(c.waitFor("sync", v1alpha1.StateAwaiting, v1alpha1.ReasonParentMissing), `"report", "cleanup"`)
	c.submit("report", after("cleanup"))
	c.submit("on-failure", func(spec *v1alpha1.WorkspaceJobSpec) {
		spec.After = []v1alpha1.Parent{{Name: "cleanup", When: v1alpha1.AfterFailed}}
	})
	c.submit("cleanup", nil)
	c.waitFor("report", v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents)
	c.end("cleanup", 1, 0, `{}`)
	c.wantSaid(c.waitFor("on-failure", v1alpha1.StateDeleted, v1alpha1.ReasonParentEnded), `"cleanup" is Succeeded`)
	c.end("report", 1, 0, `{}`)
	c.end("sync", 1, 0, `{}`)
	job := c.waitFor("sync", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if len(job.Status.Parents) != 2 {
		t.Errorf("its parents: %+v", job.Status.Parents)
	}
	// A parent that runs again does not run its continuations again. It has to have finished
	// before requeueAt, and times are in seconds.
	c.change("cleanup", func(spec *v1alpha1.WorkspaceJobSpec) {
		spec.RequeueAt = new(metav1.NewTime(time.Now().Add(time.Second)))
	})
	c.end("cleanup", 2, 0, `{}`)
	c.waitFor("cleanup", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
	if n := c.jobs(); n != 4 {
		t.Errorf("%d Jobs after three jobs and a second run of one", n)
	}
}

// TestABrokenChainNamesTheParent checks each job that a broken chain does not run, down to the
// last one.
func TestABrokenChainNamesTheParent(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain-breaks")
	c.submit("cleanup", nil)
	c.submit("report", after("cleanup"))
	c.submit("sync", after("report"))
	c.waitFor("sync", v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents)
	c.end("cleanup", 1, 65, `{"error":"no such table"}`)
	c.wantSaid(c.waitFor("report", v1alpha1.StateDeleted, v1alpha1.ReasonParentEnded), `"cleanup" is Failed`)
	c.wantSaid(c.waitFor("sync", v1alpha1.StateDeleted, v1alpha1.ReasonParentEnded), `"report" is Deleted`)
}

// TestAParentThatNeverComes checks that the operator looks for the parent again once the limit
// has passed, and has a second operator, whose limit is zero, give up at once.
func TestAParentThatNeverComes(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain-missing")
	c.submit("report", after("cleanup"))
	report := c.waitFor("report", v1alpha1.StateAwaiting, v1alpha1.ReasonParentMissing)
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(report)}
	// The operator may be one that a crash test lets die.
	testenv.Eventually(c, "it is checked again", func(ctx context.Context) error {
		result, err := operator.reconciler.Reconcile(ctx, request)
		if err == nil && (result.RequeueAfter <= 0 || result.RequeueAfter > testLimits.Parent) {
			err = fmt.Errorf("after %s", result.RequeueAfter)
		}
		return err
	})
	impatient := restarted(operator.reconciler.Client)
	impatient.Limits.Parent = 0
	testenv.Eventually(c, "it is given up", func(ctx context.Context) error {
		if _, err := impatient.Reconcile(ctx, request); err != nil {
			return err
		}
		if state := c.get("report").Status.State; state != v1alpha1.StateDeleted {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	c.wantSaid(c.waitFor("report", v1alpha1.StateDeleted, v1alpha1.ReasonParentMissing), `"cleanup" does not exist`)
}

// TestACycleIsReported closes a cycle only when its first job is already waiting for its
// second, which is the one that sees the new job. Deleting one of the jobs breaks the cycle for all.
func TestACycleIsReported(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain-cycle")
	c.submit("a", after("b"))
	c.submit("b", after("c"))
	c.waitFor("a", v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents)
	c.waitFor("b", v1alpha1.StateAwaiting, v1alpha1.ReasonParentMissing)
	c.submit("c", after("a"))
	for _, name := range []string{"a", "b", "c"} {
		job := c.waitFor(name, v1alpha1.StateAwaiting, v1alpha1.ReasonParentCycle)
		c.wantSaid(job, "a after b", "b after c", "c after a")
	}
	if err := c.Delete(t.Context(), c.get("c")); err != nil {
		t.Fatal(err)
	}
	c.waitFor("b", v1alpha1.StateAwaiting, v1alpha1.ReasonParentMissing)
	c.waitFor("a", v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents)
	c.submit("c", nil)
	c.end("c", 1, 0, `{}`)
	c.end("b", 1, 0, `{}`)
	c.end("a", 1, 0, `{}`)
	c.waitFor("a", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

// TestAParentStaysUntilItsEndWasSeen has a parent that is to be deleted as soon as it has
// finished, but not before its continuation has seen how it ended.
func TestAParentStaysUntilItsEndWasSeen(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain-reaped")
	c.submit("report", after("cleanup", "late"))
	c.submit("cleanup", func(spec *v1alpha1.WorkspaceJobSpec) { spec.TTLAfterFinished = &v1alpha1.Duration{} })
	c.end("cleanup", 1, 0, `{}`)
	testenv.Eventually(c, "the parent is gone", func(ctx context.Context) error {
		err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: "cleanup"}, &v1alpha1.WorkspaceJob{})
		if err == nil {
			err = errors.New("it still exists")
		}
		return client.IgnoreNotFound(err)
	})
	if seen := c.get("report").Status.Parents; len(seen) != 1 || seen[0].State != v1alpha1.StateSucceeded {
		t.Errorf("its continuation has seen %+v", seen)
	}
	c.submit("late", nil)
	c.end("late", 1, 0, `{}`)
	c.end("report", 1, 0, `{}`)
	c.waitFor("report", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}

// TestAParentThatWasSeenMakesNoCycle creates a parent again, as a continuation of the job that
// has seen how the first one ended. It is not waited for.
func TestAParentThatWasSeenMakesNoCycle(t *testing.T) {
	t.Parallel()
	c := inWorkspace(t, "chain-again")
	c.submit("report", after("cleanup", "late"))
	c.submit("cleanup", nil)
	c.end("cleanup", 1, 0, `{}`)
	testenv.Eventually(c, "the end of the parent is seen", func(context.Context) error {
		if len(c.get("report").Status.Parents) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	if err := c.Delete(t.Context(), c.get("cleanup")); err != nil {
		t.Fatal(err)
	}
	c.submit("cleanup", after("report"))
	c.waitFor("cleanup", v1alpha1.StateAwaiting, v1alpha1.ReasonAwaitingParents)
	c.submit("late", nil)
	c.end("late", 1, 0, `{}`)
	c.end("report", 1, 0, `{}`)
	c.waitFor("report", v1alpha1.StateSucceeded, v1alpha1.ReasonSucceeded)
}
