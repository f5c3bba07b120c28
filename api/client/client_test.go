package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/client/cron"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// enqueue enqueues a job that does not start in this test.
func enqueueLater(t *testing.T, w *client.Workspace, name string, options ...client.JobOption) *v1alpha1.WorkspaceJob {
	t.Helper()
	job, err := w.Schedule(t.Context(), "report", nil, time.Hour, append(options, client.WithName(name))...)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestWhatIsEnqueuedIsWhatWasSaid(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	job, err := acme.ScheduleAt(t.Context(), "Report.Monthly_v2", map[string]int{"n": 1}, at, client.WithPriority(-7), client.WithConcurrencyKey("k"),
		client.WithRetries(0), client.WithTimeout(time.Minute), client.WithTTL(time.Hour), client.After("no-such-parent"))
	if err != nil {
		t.Fatal(err)
	}
	spec := job.Spec
	if !strings.HasPrefix(job.Name, "report-monthly-v2-") || spec.Handler != "Report.Monthly_v2" || string(spec.Args.Raw) != `{"n":1}` || !spec.RunAt.Equal(new(metav1.NewTime(at))) ||
		*spec.Priority != -7 || spec.ConcurrencyKey != "k" || *spec.Retry.Limit != 0 || spec.Timeout.Duration != time.Minute ||
		spec.TTLAfterFinished.Duration != time.Hour || len(spec.After) != 1 {
		t.Errorf("%s: %+v", job.Name, spec)
	}
}

func TestArgumentsThatAreNoObject(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	for _, args := range []any{7, "text", []int{1}, func() {}} {
		if _, err := acme.Enqueue(t.Context(), "report", args); err == nil {
			t.Errorf("%T is accepted", args)
		}
	}
}

func TestAnIdempotencyKeyIsUsedOnce(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	const key = "Invoice 7 / März"
	var group sync.WaitGroup
	made := make([]string, 8)
	for i := range made {
		group.Go(func() {
			job, err := acme.Schedule(t.Context(), "report", map[string]int{"n": 7}, time.Hour, client.WithIdempotencyKey(key))
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = string(job.UID)
		})
	}
	group.Wait()
	for _, uid := range made {
		if uid != made[0] {
			t.Fatalf("there are several jobs: %v", made)
		}
	}
	_, err := acme.Schedule(t.Context(), "report", map[string]int{"n": 8}, time.Hour, client.WithIdempotencyKey(key))
	if !errors.Is(err, client.ErrKeyUsed) {
		t.Errorf("another job with the key: %v", err)
	}
	if got := client.NameOfKey("order-7"); got != "order-7" {
		t.Errorf("a key that can be a name is %q", got)
	}
}

// TestABurstMeetsTheQuota checks that a client tries again: the API server answers some of many
// creates at once with a conflict.
func TestABurstMeetsTheQuota(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if _, err := acme.Schedule(t.Context(), "burst", nil, time.Hour, client.WithName(fmt.Sprintf("burst-%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	list, err := acme.List(t.Context(), client.ListOptions{Handler: "burst", Limit: 20})
	if err != nil {
		t.Fatal(err)
	}
	seen := len(list.Items)
	for seen > 0 && list.Continue != "" {
		if list, err = acme.List(t.Context(), client.ListOptions{Handler: "burst", Limit: 20, Continue: list.Continue}); err != nil {
			t.Fatal(err)
		}
		seen += len(list.Items)
	}
	if seen != 50 {
		t.Errorf("%d of 50 jobs are listed", seen)
	}
}

func TestAJobIsRequeuedAndCancelled(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	job, err := acme.Enqueue(t.Context(), "report", nil)
	if err != nil {
		t.Fatal(err)
	}
	if job, err = acme.Wait(t.Context(), job.Name); err != nil {
		t.Fatal(err)
	}
	if job, err = acme.Requeue(t.Context(), job.Name); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it has run twice", func(ctx context.Context) error {
		job, err := acme.Get(ctx, job.Name)
		if err == nil && job.Status.Run != 2 {
			err = fmt.Errorf("it is %+v of %+v", job.Status, job.Spec)
		}
		return err
	})
	waits := enqueueLater(t, acme, "cancelled")
	if _, err := acme.Requeue(t.Context(), waits.Name); !errors.Is(err, client.ErrNotFinished) {
		t.Errorf("a job that waits is requeued: %v", err)
	}
	if _, err := acme.Cancel(t.Context(), waits.Name); err != nil {
		t.Fatal(err)
	}
	if waits, err = acme.Wait(t.Context(), waits.Name); err != nil || waits.Status.State != v1alpha1.StateDeleted {
		t.Errorf("a cancelled job is %v, %v", waits.Status.State, err)
	}
	// Once requeued, it is no longer cancelled.
	if _, err := acme.Requeue(t.Context(), waits.Name); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "it has run after all", func(ctx context.Context) error {
		job, err := acme.Get(ctx, waits.Name)
		if err == nil && job.Status.State != v1alpha1.StateSucceeded {
			err = errors.New(string(job.Status.State))
		}
		return err
	})
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	if _, err := acme.Wait(t.Context(), "no-such-job"); !apierrors.IsNotFound(err) {
		t.Errorf("waiting for no job: %v", err)
	}
	job := enqueueLater(t, acme, "waited-for")
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := acme.Wait(short, job.Name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting too long: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := acme.Wait(t.Context(), job.Name)
		ended <- err
	}()
	if err := acme.Delete(t.Context(), job.Name); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !apierrors.IsNotFound(err) {
		t.Errorf("waiting for a job that is deleted: %v", err)
	}
	if err := acme.Delete(t.Context(), job.Name); err != nil {
		t.Errorf("deleting it again: %v", err)
	}
}

func TestARecurringJobIsChangedPausedAndRemoved(t *testing.T) {
	t.Parallel()
	acme := workspace(t, "acme")
	made, err := acme.AddOrUpdateRecurring(t.Context(), "nightly", "report", map[string]int{"n": 1}, cron.Daily(2),
		client.WithRetries(3), client.WithConcurrencyPolicy(v1alpha1.PolicyQueue), client.InTimeZone("Europe/Berlin"), client.WithStartingDeadline(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if made.Spec.Schedule != "0 2 * * *" || *made.Spec.Template.Retry.Limit != 3 || made.Spec.ConcurrencyPolicy != v1alpha1.PolicyQueue {
		t.Errorf("it is %+v", made.Spec)
	}
	paused, err := acme.PauseRecurring(t.Context(), "nightly")
	if err != nil || !paused.Spec.Suspend {
		t.Errorf("paused: %+v, %v", paused.Spec, err)
	}
	// An update keeps a pause, and resets what it does not mention.
	made, err = acme.AddOrUpdateRecurring(t.Context(), "nightly", "report", nil, cron.Daily(3))
	if err != nil {
		t.Fatal(err)
	}
	if made.Spec.Schedule != "0 3 * * *" || made.Spec.Template.Args != nil || made.Spec.TimeZone != "Etc/UTC" || made.Spec.StartingDeadline != nil {
		t.Errorf("updated, it is %+v", made.Spec)
	}
	if made, err = acme.ResumeRecurring(t.Context(), "nightly"); err != nil || made.Spec.Suspend {
		t.Errorf("resumed: %+v, %v", made.Spec, err)
	}
	if made, err = acme.Reschedule(t.Context(), "nightly", cron.Hourly(7), "Asia/Tokyo"); err != nil || made.Spec.Schedule != "7 * * * *" || made.Spec.TimeZone != "Asia/Tokyo" {
		t.Errorf("rescheduled: %+v, %v", made.Spec, err)
	}
	list, err := acme.ListRecurring(t.Context(), 100, "")
	if err != nil || len(list.Items) == 0 {
		t.Errorf("listed: %v, %v", list, err)
	}
	for range 2 {
		if err := acme.RemoveRecurring(t.Context(), "nightly"); err != nil {
			t.Error(err)
		}
	}
	if _, err := acme.GetRecurring(t.Context(), "nightly"); !apierrors.IsNotFound(err) {
		t.Errorf("it is removed: %v", err)
	}
}

func TestAnotherWorkspaceIsForbidden(t *testing.T) {
	t.Parallel()
	globex := workspace(t, "globex")
	_, enqueued := globex.Enqueue(t.Context(), "report", nil)
	_, read := globex.Get(t.Context(), "any")
	_, listed := globex.List(t.Context(), client.ListOptions{})
	_, applied := globex.AddOrUpdateRecurring(t.Context(), "nightly", "report", nil, cron.Daily())
	for what, err := range map[string]error{"enqueue": enqueued, "read": read, "list": listed, "apply": applied} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAConfigurationThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	broken := &rest.Config{Host: "https://192.0.2.1"}
	broken.CAData = []byte("no certificate")
	for _, c := range []*rest.Config{nil, broken} {
		if _, err := client.New(c).For("acme").Get(t.Context(), "any"); err == nil || !strings.Contains(err.Error(), "Kubernetes client") {
			t.Errorf("the first call answers %v", err)
		}
	}
}

func TestResultsHaveATypeToo(t *testing.T) {
	t.Parallel()
	job := &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	if _, err := client.ResultOf[int](job); err == nil {
		t.Error("a job without a result has one")
	}
}
