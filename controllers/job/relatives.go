package job

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/continuation"
)

// maxAncestors bounds the search for a cycle among continuations.
const maxAncestors = 1000

// observeRelatives reads the jobs that this one depends on or that depend on it: its
// recurring job and that one's other runs, its parents and its continuations. The recurring
// job is read in every state, since a finished job may be requeued in this reconcile; the
// others only in states in which they matter.
func (r *Reconciler) observeRelatives(ctx context.Context, o *observed) error {
	if o.job.Status.State.Final() {
		var err error
		if o.awaited, err = continuation.Awaited(ctx, r.Client, o.job.Namespace, o.job.Name); err != nil {
			return err
		}
	}
	if err := r.observeSeries(ctx, o); err != nil {
		return err
	}
	if len(o.job.Spec.After) == 0 || !continuation.Waits(&o.job.Status) {
		return nil
	}
	unfinished := false
	for _, wanted := range o.job.Spec.After {
		p := parent{Parent: wanted}
		found, err := named[v1alpha1.WorkspaceJob](ctx, r.Client, o.job.Namespace, wanted.Name)
		if err != nil {
			return err
		}
		if found != nil {
			p.found, p.state, p.finishedAt = true, found.Status.State, found.Status.FinishedAt
			unfinished = unfinished || !p.state.Final() && !continuation.SawEnd(&o.job.Status, wanted.Name)
		}
		o.parents = append(o.parents, p)
	}
	if !unfinished {
		return nil
	}
	var err error
	o.cycle, err = r.cycleOf(ctx, o.job)
	return err
}

// named returns the object of that name in the namespace, or nil if there is none. The object
// belongs to the cache: don't change it.
func named[T any, P interface {
	*T
	client.Object
}](ctx context.Context, cache client.Reader, namespace, name string) (P, error) {
	object := P(new(T))
	err := cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read %T %q: %w", object, name, err)
	}
	if err != nil {
		return nil, nil
	}
	return object, nil
}

// observeSeries reads the recurring job, and whether a newer run replaces this one.
func (r *Reconciler) observeSeries(ctx context.Context, o *observed) error {
	series := o.job.Series()
	if series == "" {
		return nil
	}
	recurring, err := named[v1alpha1.WorkspaceRecurringJob](ctx, r.Client, o.job.Namespace, series)
	if err != nil || recurring == nil {
		return err
	}
	if o.job.Spec.RecurringJobRef != nil && o.job.Status.Template == nil && !cached.Whole(recurring.Spec.Template.Args) {
		// The job's status keeps a copy of the template, which must be whole.
		if recurring, err = cached.Uncached(ctx, r.APIReader, recurring); err != nil {
			return err
		}
	}
	o.recurring = recurring
	if recurring.Spec.ConcurrencyPolicy != v1alpha1.PolicyReplace || o.job.Status.EnqueuedAt == nil {
		return nil
	}
	runs, err := r.seriesNamed(ctx, o.job.Namespace, series)
	if err != nil {
		return fmt.Errorf("list the runs of %q: %w", series, err)
	}
	newest := runOfSeries(o.job)
	for i := range runs {
		other := &runs[i]
		if other.Status.State.Final() || other.Status.EnqueuedAt == nil || other.Name == o.job.Name {
			continue
		}
		if run := runOfSeries(other); admission.Older(newest, run) {
			newest, o.replacedBy = run, other.Name
		}
	}
	return nil
}

// seriesNamed returns the runs of a recurring job. They belong to the cache: don't change them.
func (r *Reconciler) seriesNamed(ctx context.Context, namespace, series string) ([]v1alpha1.WorkspaceJob, error) {
	var runs v1alpha1.WorkspaceJobList
	err := r.Client.List(ctx, &runs, client.InNamespace(namespace), client.MatchingFields{admission.IndexSeries: series}, client.UnsafeDisableDeepCopy)
	return runs.Items, err
}

func runOfSeries(job *v1alpha1.WorkspaceJob) admission.Run {
	return admission.Run{Name: job.Name, Due: job.Status.EnqueuedAt.Time, Created: job.CreationTimestamp.Time}
}

// cycleOf searches the ancestors that are waiting themselves for a way back to job, and names the
// jobs on it. It returns nil if there is no cycle among the nearest thousand ancestors.
func (r *Reconciler) cycleOf(ctx context.Context, job *v1alpha1.WorkspaceJob) ([]string, error) {
	// child maps each ancestor to the job from which the search reached it.
	child := map[string]string{}
	next := []string{job.Name}
	for len(next) > 0 && len(child) < maxAncestors {
		name := next[0]
		next = next[1:]
		found, err := named[v1alpha1.WorkspaceJob](ctx, r.Client, job.Namespace, name)
		if err != nil {
			return nil, err
		}
		if found == nil || !continuation.Waits(&found.Status) {
			continue
		}
		for _, p := range found.Spec.After {
			if continuation.SawEnd(&found.Status, p.Name) {
				continue
			}
			if p.Name == job.Name {
				return append(wayTo(name, child, job.Name), job.Name), nil
			}
			if _, known := child[p.Name]; !known {
				child[p.Name] = name
				next = append(next, p.Name)
			}
		}
	}
	return nil, nil
}

// wayTo names the jobs from start to last.
func wayTo(last string, child map[string]string, start string) []string {
	way := []string{last}
	for way[0] != start {
		way = append([]string{child[way[0]]}, way...)
	}
	return way
}
