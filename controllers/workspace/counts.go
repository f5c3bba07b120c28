package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// countInterval is how old status.jobs may become, and the shortest time between two writes.
const countInterval = 10 * time.Second

// Counter keeps status.jobs and status.history of Workspaces up to date. It is a separate
// reconciler because every job triggers it. It writes only these two fields, and reads only
// the manager's cache.
type Counter struct {
	client client.Client
	clock  clock.PassiveClock
	// interval between a change and the count that it triggers.
	interval time.Duration
}

// withoutCounts is the status without what the Counter writes.
func withoutCounts(status v1alpha1.WorkspaceStatus) v1alpha1.WorkspaceStatus {
	status.Jobs, status.History = nil, nil
	return status
}

// NewCounter returns a Counter that writes at most every ten seconds.
func NewCounter(c client.Client, clock clock.PassiveClock) *Counter {
	return &Counter{client: c, clock: clock, interval: countInterval}
}

// SetupWithManager registers c with the manager for changes of a job's state.
func (c *Counter) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspace-counts").
		Watches(&v1alpha1.WorkspaceJob{}, c.onJobs()).
		Watches(&v1alpha1.Workspace{}, c.onWorkspaces()).
		Complete(c)
}

// queue holds the Workspaces to count.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// onJobs triggers c an interval after a change. A Workspace that is waiting already keeps its
// time, so a busy one is counted once in an interval, and a quiet one never.
func (c *Counter) onJobs() handler.EventHandler {
	later := func(ctx context.Context, job client.Object, q queue) {
		// The label decides only which Workspace to count; Reconcile checks it.
		ns := &corev1.Namespace{}
		if err := c.client.Get(ctx, client.ObjectKey{Name: job.GetNamespace()}, ns); err != nil {
			return
		}
		for _, request := range labelledWorkspace(ctx, ns) {
			q.AddAfter(request, c.interval)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { later(ctx, e.Object, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { later(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, ok := e.ObjectOld.(*v1alpha1.WorkspaceJob)
			after, also := e.ObjectNew.(*v1alpha1.WorkspaceJob)
			if ok && also && before.Status.State != after.Status.State {
				later(ctx, after, q)
			}
		},
	}
}

// onWorkspaces triggers c when a Workspace gets its namespace or loses it.
func (c *Counter) onWorkspaces() handler.EventHandler {
	now := func(ws client.Object, q queue) {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(ws)})
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { now(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			before, ok := e.ObjectOld.(*v1alpha1.Workspace)
			after, also := e.ObjectNew.(*v1alpha1.Workspace)
			if ok && also && before.Status.Namespace != after.Status.Namespace {
				now(after, q)
			}
		},
	}
}

// Reconcile counts one Workspace's jobs and writes what has changed.
func (c *Counter) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ws := &v1alpha1.Workspace{}
	if err := c.client.Get(ctx, request.NamespacedName, ws); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	counts, history, err := c.count(ctx, ws)
	if err != nil {
		return reconcile.Result{}, err
	}
	if equality.Semantic.DeepEqual(ws.Status.Jobs, counts) && equality.Semantic.DeepEqual(ws.Status.History, history) {
		return reconcile.Result{}, nil
	}
	// The patch has these fields only and no resourceVersion, because the other
	// reconciler may write at the same time.
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"jobs": counts, "history": history}})
	if err != nil {
		return reconcile.Result{}, err
	}
	err = c.client.Status().Patch(ctx, ws, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.ManagedBy))
	return reconcile.Result{}, client.IgnoreNotFound(err)
}

// count returns nil for a Workspace that has no namespace.
func (c *Counter) count(ctx context.Context, ws *v1alpha1.Workspace) (*v1alpha1.JobCounts, []v1alpha1.HourCount, error) {
	if ws.Status.Namespace == "" {
		return nil, nil, nil
	}
	var jobs v1alpha1.WorkspaceJobList
	// The jobs are only read, so ten thousand of them need not be copied.
	if err := c.client.List(ctx, &jobs, client.InNamespace(ws.Status.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("list the jobs of workspace %q: %w", ws.Name, err)
	}
	return countsOf(jobs.Items), historyOf(ws.Status.History, jobs.Items, c.clock.Now()), nil
}

// countsOf counts jobs by state. A job that the operator has not reconciled yet has no state
// and is not counted, so the numbers match those of `kubectl get workspacejobs --field-selector
// status.state=…`.
func countsOf(jobs []v1alpha1.WorkspaceJob) *v1alpha1.JobCounts {
	by := map[v1alpha1.JobState]int32{}
	for i := range jobs {
		by[jobs[i].Status.State]++
	}
	return &v1alpha1.JobCounts{
		Scheduled:  by[v1alpha1.StateScheduled],
		Awaiting:   by[v1alpha1.StateAwaiting],
		Enqueued:   by[v1alpha1.StateEnqueued],
		Processing: by[v1alpha1.StateProcessing],
		Succeeded:  by[v1alpha1.StateSucceeded],
		Failed:     by[v1alpha1.StateFailed],
		Deleted:    by[v1alpha1.StateDeleted],
	}
}

// historyDays is how far back status.history goes.
const historyDays = 7

// historyOf counts the jobs that finished in each hour. A higher count in before stays,
// because jobs may have been deleted since. Counting twice changes nothing.
func historyOf(before []v1alpha1.HourCount, jobs []v1alpha1.WorkspaceJob, now time.Time) []v1alpha1.HourCount {
	oldest := now.Add(-historyDays * 24 * time.Hour).Truncate(time.Hour)
	hours := map[int64]v1alpha1.HourCount{}
	for i := range jobs {
		status := &jobs[i].Status
		if status.FinishedAt == nil || status.State != v1alpha1.StateSucceeded && status.State != v1alpha1.StateFailed {
			continue
		}
		hour := status.FinishedAt.Truncate(time.Hour)
		counted := hours[hour.Unix()]
		counted.Hour = metav1.NewTime(hour.UTC())
		if status.State == v1alpha1.StateSucceeded {
			counted.Succeeded++
		} else {
			counted.Failed++
		}
		hours[hour.Unix()] = counted
	}
	for _, was := range before {
		counted := hours[was.Hour.Unix()]
		hours[was.Hour.Unix()] = v1alpha1.HourCount{
			Hour: was.Hour, Succeeded: max(was.Succeeded, counted.Succeeded), Failed: max(was.Failed, counted.Failed),
		}
	}
	var history []v1alpha1.HourCount
	for _, counted := range hours {
		// A node's clock may be ahead of the operator's.
		if !counted.Hour.Time.Before(oldest) && !counted.Hour.After(now) {
			history = append(history, counted)
		}
	}
	slices.SortFunc(history, func(a, b v1alpha1.HourCount) int { return a.Hour.Compare(b.Hour.Time) })
	return history
}
