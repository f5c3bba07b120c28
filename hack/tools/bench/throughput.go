package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func throughputCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 1000, "how many jobs of each kind in a burst")
	rounds := flags.Int("rounds", 2, "how often each kind is measured")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error {
			return measureThroughput(ctx, l, max(*n, 1), max(*rounds, 1))
		})
	}
}

// burst is one kind of job.
type burst struct {
	title string
	make  func(name string) client.Object
	// kind is watched until done reports true for each object.
	kind      client.Object
	done      func(client.Object) bool
	namespace string
	// rates are those of the rounds, in jobs a second.
	rates []float64
}

func measureThroughput(ctx context.Context, l *lab, n, rounds int) error {
	const plain = "bench-plain"
	namespaces, err := l.makeWorkspaces(ctx, 1, time.Minute)
	if err != nil {
		return err
	}
	spec, err := l.attemptSpec(ctx, namespaces[0])
	if err != nil {
		return err
	}
	if err := l.plainNamespace(ctx, plain); err != nil {
		return err
	}
	raw := func(title, namespace string) *burst {
		return &burst{title: title, namespace: namespace, kind: &batchv1.Job{}, done: jobComplete,
			make: func(name string) client.Object { return rawJob(namespace, name, spec) }}
	}
	kinds := []*burst{
		raw("raw Jobs", plain),
		raw("raw Jobs in the workspace's namespace (its quota counts)", namespaces[0]),
		{title: "WorkspaceJobs", namespace: namespaces[0], kind: &v1alpha1.WorkspaceJob{}, done: jobSucceeded,
			make: func(name string) client.Object { return workspaceJob(namespaces[0], name) }},
	}
	var writes *writes
	for round := range rounds {
		for _, kind := range kinds {
			before, err := l.writesSoFar(ctx)
			if err != nil {
				return err
			}
			took, err := l.run(ctx, kind, round, n)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.title, err)
			}
			after, err := l.writesSoFar(ctx)
			if err != nil {
				return err
			}
			writes = after.since(before)
			kind.rates = append(kind.rates, float64(n)/took.Seconds())
			say("round %d: %s: %.1f a second", round+1, kind.title, float64(n)/took.Seconds())
			if err := l.clear(ctx, kind.namespace); err != nil {
				return err
			}
		}
	}
	return errors.Join(printRates(kinds, n), writes.print(n))
}

// run creates n objects at once and returns how long it took until the last was seen done.
func (l *lab) run(ctx context.Context, kind *burst, round, n int) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := newMoments(n)
	err := l.watch(ctx, kind.kind, func(object client.Object) {
		if object.GetNamespace() == kind.namespace && kind.done(object) {
			done.note(keyOf(object), time.Now())
		}
	})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = each(ctx, n, func(ctx context.Context, i int) error {
		return l.create(ctx, kind.make(fmt.Sprintf("bench-%d-%d", round, i)))
	})
	if err != nil {
		return 0, err
	}
	if err := done.wait(ctx, 5*time.Minute, "jobs done"); err != nil {
		return 0, errors.Join(err, l.operator.Alive())
	}
	var last time.Time
	for _, at := range done.seen() {
		if at.After(last) {
			last = at
		}
	}
	return last.Sub(begin), nil
}

func printRates(kinds []*burst, n int) error {
	ofOperator := median(kinds[len(kinds)-1].rates)
	t := table{{fmt.Sprintf("bursts of %d, from the first creation to the last end", n), "jobs/s", "each round", "WorkspaceJobs ÷ these"}}
	for _, kind := range kinds {
		var rounds string
		for _, rate := range kind.rates {
			rounds += fmt.Sprintf("%.1f ", rate)
		}
		t.row(kind.title, fmt.Sprintf("%.1f", median(kind.rates)), rounds, fmt.Sprintf("%.2f", ofOperator/median(kind.rates)))
	}
	return t.write(os.Stdout)
}

func median[T float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// writes are the operator's requests, as it counts them itself and as the API server does.
type writes struct{ operator, server tally }

func (l *lab) writesSoFar(ctx context.Context) (*writes, error) {
	sent, err := l.requests(ctx)
	if err != nil {
		return nil, err
	}
	answered, err := l.answered(ctx)
	return &writes{sent, answered}, err
}

func (w *writes) since(before *writes) *writes {
	return &writes{w.operator.since(before.operator), w.server.since(before.server)}
}

// print prints the writes for each of n WorkspaceJobs. Only the operator makes Jobs in that
// time and writes the status of WorkspaceJobs; all other writes are its events.
func (w *writes) print(n int) error {
	per := func(count float64) string { return fmt.Sprintf("%.2f", count/float64(n)) }
	all := w.operator.sum("POST", "PUT", "PATCH", "DELETE")
	jobs := w.server.sum("POST jobs")
	status := w.server.sum("PATCH workspacejobs/status")
	other := w.server.sum("PATCH jobs", "PATCH workspaces/status", "DELETE jobs")
	t := table{{"", ""}, {"the operator's requests for each WorkspaceJob", ""}}
	t.row("  writes", per(all))
	t.row("    of these the Job", per(jobs))
	t.row("    status of the WorkspaceJob", per(status))
	t.row("    of Jobs, and counts of the Workspace", per(other))
	t.row("    events", per(all-jobs-status-other))
	t.row("  writes besides the Job", per(all-jobs))
	t.row("  reads", per(w.operator.sum("GET")))
	return t.write(os.Stdout)
}
