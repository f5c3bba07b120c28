package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// noise is what the noisy tenant does in its own namespace, until ctx ends or, if it is
// finite, until it is done. It counts its writes.
type noise struct {
	title  string
	finite bool
	make   func(ctx context.Context, namespace string, writes *atomic.Int64) error
}

// quietTenant is the tenant whose jobs are measured: for as long as lasts says, and longer
// while the noise is not done. As many raw Jobs of the same spec run in a plain namespace:
// a delay that these have too comes from Kubernetes.
type quietTenant struct {
	namespace, plain string
	spec             batchv1.JobSpec
	rate             int
	lasts            time.Duration
}

func noisyCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 10000, "how many WorkspaceJobs the noisy tenant creates")
	concurrency := flags.Int("concurrency", 20, "how many of them may be processing; 20 is a Workspace's default")
	rate := flags.Int("rate", 2, "how many WorkspaceJobs the other tenant creates in a second")
	lasts := flags.Duration("for", time.Minute, "for how long, each time")
	size := flags.Int("size", 0, "how many KiB of annotations each of them has beside 60 KiB of arguments, up to 120; 0: neither")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error {
			tenant := quietTenant{rate: max(*rate, 1), lasts: *lasts}
			return measureNoisy(ctx, l, tenant, max(*n, 1), max(*concurrency, 1), *size<<10)
		})
	}
}

// measureNoisy compares how late one tenant's jobs are with and without the noise that
// another one makes. A job of the first that fails is an error.
func measureNoisy(ctx context.Context, l *lab, tenant quietTenant, n, concurrency, size int) error {
	namespaces, err := l.makeWorkspaces(ctx, 2, time.Minute)
	if err != nil {
		return err
	}
	loud := namespaces[0]
	tenant.namespace, tenant.plain = namespaces[1], "bench-plain"
	if tenant.spec, err = l.attemptSpec(ctx, tenant.namespace); err != nil {
		return err
	}
	if err := l.plainNamespace(ctx, tenant.plain); err != nil {
		return err
	}
	if err := l.limit(ctx, "bench-0", concurrency); err != nil {
		return err
	}
	noises := []noise{
		{title: "alone"},
		{title: "one changes two objects in a loop", make: l.changeInALoop},
		{title: fmt.Sprintf("one creates %d", n), finite: true, make: func(ctx context.Context, namespace string, writes *atomic.Int64) error {
			return l.flood(ctx, namespace, n, size, writes)
		}},
	}
	var results []noisyResult
	for round, noise := range noises {
		say("%s", noise.title)
		result, err := l.during(ctx, tenant, round, loud, noise)
		if err != nil {
			return fmt.Errorf("%s: %w", noise.title, err)
		}
		results = append(results, result)
	}
	return printNoisy(results, tenant.rate)
}

// noisyResult is the result with one kind of noise.
type noisyResult struct {
	title string
	late  lateness
	// writes counts those of the noisy tenant.
	writes int64
}

// lateness says how late the quiet tenant's jobs are.
type lateness struct {
	// created is the time from the request to create a job to the answer, which is the API
	// server's own; started from there to the Job; ended from the request to the end.
	created, started, ended []time.Duration
	raw                     []time.Duration
}

func printNoisy(results []noisyResult, rate int) error {
	head := []string{fmt.Sprintf("%d WorkspaceJobs a second of another", rate)}
	jobs, writes := []string{"jobs"}, []string{"writes of the noisy tenant"}
	for i, result := range results {
		head = append(head, result.title)
		jobs = append(jobs, fmt.Sprint(len(result.late.ended)))
		writes = append(writes, fmt.Sprint(result.writes))
		if i > 0 {
			head, jobs, writes = append(head, "÷ alone"), append(jobs, ""), append(writes, "")
		}
	}
	t := table{head}
	for _, row := range []struct {
		title string
		of    func(lateness) []time.Duration
	}{
		{"creating it", func(l lateness) []time.Duration { return l.created }},
		{"from created to its Job", func(l lateness) []time.Duration { return l.started }},
		{"from asking to Succeeded", func(l lateness) []time.Duration { return l.ended }},
		{"a raw Job, from asking to Complete", func(l lateness) []time.Duration { return l.raw }},
	} {
		for _, share := range []float64{0.5, 0.99} {
			cells := []string{fmt.Sprintf("%s, p%.0f", row.title, 100*share)}
			for i, result := range results {
				cells = append(cells, milliseconds(quantile(row.of(result.late), share)))
				if i > 0 {
					cells = append(cells, ratio(row.of(result.late), row.of(results[0].late), share))
				}
			}
			t.row(cells...)
		}
	}
	t.row(jobs...)
	t.row(writes...)
	return t.write(os.Stdout)
}

// during measures the tenant's jobs while there is noise.
func (l *lab) during(ctx context.Context, tenant quietTenant, round int, loud string, noise noise) (noisyResult, error) {
	noisy, stop := context.WithCancel(ctx)
	defer stop()
	var writes atomic.Int64
	var late lateness
	silent := make(chan struct{})
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(silent)
		if noise.make == nil {
			return nil
		}
		if err := noise.make(noisy, loud, &writes); noisy.Err() == nil {
			return err
		}
		return nil // it was stopped in the middle of a request
	})
	group.Go(func() (err error) {
		defer stop()
		enough := func() bool { return true }
		if noise.finite {
			enough = func() bool { return isClosed(silent) }
		}
		late, err = l.steady(together, tenant, fmt.Sprintf("quiet-%d-", round), enough)
		return err
	})
	err := group.Wait()
	return noisyResult{noise.title, late, writes.Load()}, errors.Join(err, l.operator.Alive())
}

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

// steady creates jobs at a steady rate until enough reports true, and waits until all have
// succeeded.
func (l *lab) steady(ctx context.Context, tenant quietTenant, prefix string, enough func() bool) (lateness, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	seen, err := l.watchQuiet(ctx, tenant, prefix, stop)
	if err != nil {
		return lateness{}, err
	}
	var late lateness
	asked, answered, rawAsked := map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}
	tick := time.NewTicker(time.Second / time.Duration(tenant.rate))
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < tenant.lasts || !enough(); {
		<-tick.C
		name := fmt.Sprintf("%s%d", prefix, len(asked))
		job, raw := workspaceJob(tenant.namespace, name), rawJob(tenant.plain, name, tenant.spec)
		asked[keyOf(job)] = time.Now()
		err := l.create(ctx, job)
		answered[keyOf(job)] = time.Now()
		late.created = append(late.created, time.Since(asked[keyOf(job)]))
		rawAsked[keyOf(raw)] = time.Now()
		if err := errors.Join(err, l.create(ctx, raw)); err != nil {
			return late, errors.Join(context.Cause(ctx), err)
		}
	}
	err = until(ctx, settleLimit, "the jobs end", func(context.Context) (bool, error) {
		return len(seen.started.seen()) == len(asked) && len(seen.ended.seen()) == len(asked) && len(seen.raw.seen()) == len(asked), nil
	})
	if err != nil {
		return late, errors.Join(context.Cause(ctx), err)
	}
	late.started, late.ended, late.raw = seen.started.since(answered), seen.ended.since(asked), seen.raw.since(rawAsked)
	return late, nil
}

// quietMoments are the times when each WorkspaceJob's Job was first seen, when each WorkspaceJob had
// succeeded, and when each raw Job was complete.
type quietMoments struct{ started, ended, raw *moments }

// watchQuiet notes the moments of all jobs whose names have the prefix. A WorkspaceJob that
// does not succeed at its first attempt stops everything.
func (l *lab) watchQuiet(ctx context.Context, tenant quietTenant, prefix string, stop context.CancelCauseFunc) (quietMoments, error) {
	seen := quietMoments{newMoments(0), newMoments(0), newMoments(0)}
	err := l.watch(ctx, &batchv1.Job{}, func(object client.Object) {
		if object.GetNamespace() == tenant.plain {
			if strings.HasPrefix(object.GetName(), prefix) && jobComplete(object) {
				seen.raw.note(keyOf(object), time.Now())
			}
		} else if name := object.GetLabels()[v1alpha1.LabelJob]; strings.HasPrefix(name, prefix) {
			seen.started.note(tenant.namespace+"/"+name, time.Now())
		}
	}, tenant.namespace, tenant.plain)
	if err != nil {
		return seen, err
	}
	return seen, l.watch(ctx, &v1alpha1.WorkspaceJob{}, func(object client.Object) {
		job, ok := object.(*v1alpha1.WorkspaceJob)
		if !ok || !strings.HasPrefix(job.Name, prefix) || !job.Status.State.Final() {
			return
		}
		if job.Status.State != v1alpha1.StateSucceeded || len(job.Status.Attempts) != 1 {
			stop(fmt.Errorf("WorkspaceJob %s is %s after %d attempts: %s", job.Name, job.Status.State, len(job.Status.Attempts), job.Status.Message))
		}
		seen.ended.note(keyOf(job), time.Now())
	}, tenant.namespace)
}

// limit sets how many jobs a workspace may process at once.
func (l *lab) limit(ctx context.Context, workspace string, concurrency int) error {
	patch := fmt.Appendf(nil, `{"spec":{"concurrency":%d}}`, concurrency)
	return l.client.Patch(ctx, &v1alpha1.Workspace{ObjectMeta: metav1.ObjectMeta{Name: workspace}}, client.RawPatch("application/merge-patch+json", patch))
}

// flood creates n jobs as fast as the API server accepts them.
func (l *lab) flood(ctx context.Context, namespace string, n, size int, writes *atomic.Int64) error {
	begin := time.Now()
	err := each(ctx, n, func(ctx context.Context, i int) error {
		job := workspaceJob(namespace, fmt.Sprintf("flood-%d", i))
		if size > 0 {
			job = enlarged(job, 60<<10, size)
		}
		if err := l.create(ctx, job); err != nil {
			return err
		}
		writes.Add(1)
		return nil
	})
	say("the noisy tenant has created %d within %s", writes.Load(), time.Since(begin).Round(time.Second))
	return err
}

// changeInALoop changes a delayed job and a recurring job, over and over.
func (l *lab) changeInALoop(ctx context.Context, namespace string, writes *atomic.Int64) error {
	job := workspaceJob(namespace, "changed")
	job.Spec.Delay = &v1alpha1.Duration{Duration: 24 * time.Hour}
	recurring := recurringJob(namespace, "changed", "0 0 29 2 *")
	if err := errors.Join(l.create(ctx, job), l.create(ctx, recurring)); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	loop := func(object client.Object, patch string) {
		group.Go(func() error {
			for i := int64(0); ctx.Err() == nil; i++ {
				change := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, patch, i%2+1))
				if err := l.client.Patch(ctx, object, change); err != nil {
					return err
				}
				writes.Add(1)
			}
			return nil
		})
	}
	loop(job, `{"spec":{"priority":%d}}`)
	loop(recurring, `{"spec":{"schedule":"0 %d 29 2 *"}}`)
	return group.Wait()
}
