package job

import (
	"cmp"
	"context"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/fairqueue"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// workers is how many WorkspaceJobs are reconciled at once.
const workers = 16

// SetupWithManager registers r with the manager for every change that may concern a
// WorkspaceJob. The indexes of admission, continuation, runnerjob and workspace must be in
// place.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("workspacejob").
		For(&v1alpha1.WorkspaceJob{}).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(jobOfChild)).
		Watches(&v1alpha1.WorkspaceJob{}, r.onRelatives()).
		Watches(&v1alpha1.WorkspaceRecurringJob{}, handler.EnqueueRequestsFromMapFunc(r.runsOfRecurring), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.TypedChannel(r.turns, handler.TypedFuncs[types.NamespacedName, reconcile.Request]{GenericFunc: onTurn})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(jobOfChild)).
		Watches(&v1alpha1.Workspace{}, handler.EnqueueRequestsFromMapFunc(r.jobsOfWorkspace), builder.WithPredicates(becomesAble())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, NewQueue: fairqueue.New}).
		Complete(r)
}

// jobOfChild returns the WorkspaceJob that the labels name. Anybody can set labels, so they
// decide only what to reconcile. A tick has the name of its WorkspaceJob.
func jobOfChild(_ context.Context, child client.Object) []reconcile.Request {
	name := child.GetLabels()[v1alpha1.LabelJob]
	if name == "" && child.GetLabels()[v1alpha1.LabelRecurringJob] != "" {
		name = child.GetName()
	}
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: child.GetNamespace(), Name: name}}}
}

// onTurn wakes a job whose turn in its queue has come.
func onTurn(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q requests) {
	q.Add(reconcile.Request{NamespacedName: e.Object})
}

// jobsOfWorkspace returns the workspace's jobs: they may have waited for it, or its
// retention may have changed.
func (r *Reconciler) jobsOfWorkspace(ctx context.Context, object client.Object) []reconcile.Request {
	ws, ok := object.(*v1alpha1.Workspace)
	if !ok {
		return nil
	}
	var jobs v1alpha1.WorkspaceJobList
	if err := r.Client.List(ctx, &jobs, client.InNamespace(ws.NamespaceName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list the jobs of a workspace", "workspace", ws.Name)
		return nil
	}
	var requests []reconcile.Request
	for i := range jobs.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
	}
	return requests
}

// becomesAble lets through changes after which jobs may start, wait for another reason or
// be removed, but not the counts in the status, which change all the time.
func becomesAble() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Workspace)
		after, also := e.ObjectNew.(*v1alpha1.Workspace)
		if !ok || !also {
			return false
		}
		return before.Status.Namespace != after.Status.Namespace ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			before.Limit() < after.Limit() || before.Spec.Suspend != after.Spec.Suspend ||
			!equality.Semantic.DeepEqual(before.Spec.Retention, after.Spec.Retention) ||
			workspace.Obstacle(before) != workspace.Obstacle(after)
	}}
}

// requests is a controller's work queue.
type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// onRelatives wakes the jobs that a change of another job may concern: its continuations,
// its parents, which can be removed once their end was seen, and the other runs of its
// recurring job.
func (r *Reconciler) onRelatives() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q requests) { r.wakeContinuations(ctx, e.Object, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q requests) {
			r.wakeContinuations(ctx, e.Object, q)
			r.wakeSeries(ctx, e.Object, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q requests) {
			before, ok := e.ObjectOld.(*v1alpha1.WorkspaceJob)
			after, also := e.ObjectNew.(*v1alpha1.WorkspaceJob)
			if !ok || !also {
				return
			}
			if before.Status.State.Final() != after.Status.State.Final() {
				r.wakeContinuations(ctx, after, q)
				r.wakeSeries(ctx, after, q)
				wakeParents(after, q)
			}
			if inCycle(before) != inCycle(after) {
				r.wakeContinuations(ctx, after, q)
			}
			if (before.Status.EnqueuedAt == nil) != (after.Status.EnqueuedAt == nil) {
				r.wakeSeries(ctx, after, q)
			}
			if len(before.Status.Parents) != len(after.Status.Parents) {
				wakeParents(after, q)
			}
		},
	}
}

// inCycle reports whether the job waits for itself. A new job that closes a cycle, or a
// deleted one that breaks it, wakes only its own continuations, and they theirs.
func inCycle(job *v1alpha1.WorkspaceJob) bool {
	return report.Reason(job.Status.Conditions) == v1alpha1.ReasonParentCycle
}

func (r *Reconciler) wakeContinuations(ctx context.Context, parent client.Object, q requests) {
	children, err := continuation.Of(ctx, r.Client, parent.GetNamespace(), parent.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the continuations of a job", "job", client.ObjectKeyFromObject(parent))
		return
	}
	addUnfinished(children, q)
}

// wakeSeries wakes the runs that a change of another run of their recurring job concerns.
func (r *Reconciler) wakeSeries(ctx context.Context, object client.Object, q requests) {
	job, ok := object.(*v1alpha1.WorkspaceJob)
	if !ok || job.Series() == "" {
		return
	}
	recurring, err := named[v1alpha1.WorkspaceRecurringJob](ctx, r.Client, job.Namespace, job.Series())
	if err == nil && (recurring == nil || recurring.Spec.ConcurrencyPolicy == v1alpha1.PolicyAllow) {
		return // no run of it concerns another
	}
	var runs []v1alpha1.WorkspaceJob
	if err == nil {
		runs, err = r.seriesNamed(ctx, job.Namespace, job.Series())
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the other runs of a recurring job", "job", client.ObjectKeyFromObject(job))
	}
	for _, run := range nextOf(runs) {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(run)})
	}
}

// wokenAtOnce is how many runs a change of another run wakes. When each of them ends, it
// wakes the next ones, and the queue calls those whose turn has come.
const wokenAtOnce = 20

// nextOf returns the unfinished runs that act first: those that had an attempt, then those
// that became due first. If each of ten thousand runs woke all the others, the controllers
// would be busy with nothing else, for all tenants.
func nextOf(runs []v1alpha1.WorkspaceJob) []*v1alpha1.WorkspaceJob {
	var next []*v1alpha1.WorkspaceJob
	for i := range runs {
		run := &runs[i]
		at, _ := slices.BinarySearchFunc(next, run, compareNext)
		if !run.Status.State.Final() && at < wokenAtOnce {
			next = slices.Insert(next, at, run)
			next = next[:min(len(next), wokenAtOnce)]
		}
	}
	return next
}

func compareNext(a, b *v1alpha1.WorkspaceJob) int {
	rankA, dueA := rank(a)
	rankB, dueB := rank(b)
	return cmp.Or(cmp.Compare(rankA, rankB), dueA.Compare(dueB), cmp.Compare(a.Name, b.Name))
}

func rank(run *v1alpha1.WorkspaceJob) (rank int, due time.Time) {
	switch {
	case run.Status.EnqueuedAt == nil:
		return 2, run.CreationTimestamp.Time
	case run.Status.RunAttempts == 0:
		return 1, run.Status.EnqueuedAt.Time
	default:
		return 0, run.Status.EnqueuedAt.Time
	}
}

func wakeParents(job *v1alpha1.WorkspaceJob, q requests) {
	for _, p := range job.Spec.After {
		q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: job.Namespace, Name: p.Name}})
	}
}

func addUnfinished(jobs []v1alpha1.WorkspaceJob, q requests) {
	for i := range jobs {
		if !jobs[i].Status.State.Final() {
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs[i])})
		}
	}
}

// runsOfRecurring returns the unfinished runs of a recurring job that is new or has
// changed.
func (r *Reconciler) runsOfRecurring(ctx context.Context, recurring client.Object) []reconcile.Request {
	runs, err := r.seriesNamed(ctx, recurring.GetNamespace(), recurring.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "wake the runs of a recurring job", "recurringJob", client.ObjectKeyFromObject(recurring))
		return nil
	}
	var woken []reconcile.Request
	for i := range runs {
		if !runs[i].Status.State.Final() {
			woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&runs[i])})
		}
	}
	return woken
}
