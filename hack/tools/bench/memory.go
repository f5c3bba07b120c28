package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// crowd says how many objects the operator has to hold.
type crowd struct{ workspaces, recurring, jobs int }

func memoryCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	var c crowd
	flags.IntVar(&c.workspaces, "workspaces", 1000, "how many workspaces")
	flags.IntVar(&c.recurring, "recurring", 10, "how many recurring jobs each of them has")
	flags.IntVar(&c.jobs, "n", 10000, "how many jobs finish in one of them")
	other := flags.String("other", "", "`path` of another operator's binary, to compare with the same objects")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error {
			return measureMemory(ctx, l, crowd{max(c.workspaces, 1), max(c.recurring, 0), max(c.jobs, 1)}, *other)
		})
	}
}

// measureMemory compares a new operator process that finds nothing with one that finds
// workspaces and their recurring jobs, and one that finds finished jobs too, with their Jobs
// and their pods.
func measureMemory(ctx context.Context, l *lab, c crowd, other string) error {
	t := table{{"the operator's memory", "live heap", "resident", "highest"}}
	measure := func(title string) error {
		if other != "" {
			if err := l.measureFresh(ctx, &t, title+", the other operator", other); err != nil {
				return err
			}
		}
		return l.measureFresh(ctx, &t, title, "")
	}
	if err := measure("with nothing to watch"); err != nil {
		return err
	}
	namespaces, err := l.makeWorkspaces(ctx, c.workspaces, settleLimit)
	if err != nil {
		return err
	}
	if err := l.makeRecurring(ctx, namespaces, c.recurring); err != nil {
		return err
	}
	if err := measure(fmt.Sprintf("with %d workspaces and %d recurring jobs", c.workspaces, c.workspaces*c.recurring)); err != nil {
		return err
	}
	if err := l.finishJobs(ctx, namespaces[0], c.jobs); err != nil {
		return err
	}
	if err := measure(fmt.Sprintf("and with %d finished jobs", c.jobs)); err != nil {
		return err
	}
	return t.write(os.Stdout)
}

// finishJobs creates n jobs and returns once all have succeeded.
func (l *lab) finishJobs(ctx context.Context, namespace string, n int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := newMoments(n)
	err := l.watch(ctx, &v1alpha1.WorkspaceJob{}, func(object client.Object) {
		if jobSucceeded(object) {
			done.note(keyOf(object), time.Now())
		}
	}, namespace)
	if err != nil {
		return err
	}
	say("running %d jobs", n)
	err = each(ctx, n, func(ctx context.Context, i int) error {
		return l.create(ctx, workspaceJob(namespace, fmt.Sprintf("bench-%d", i)))
	})
	if err != nil {
		return err
	}
	return done.wait(ctx, settleLimit, "jobs done")
}

// measureFresh measures a new operator process, of the binary if one is given, once it is
// idle and has collected its garbage.
func (l *lab) measureFresh(ctx context.Context, t *table, title, binary string) error {
	if err := l.operator.RestartAs(ctx, binary); err != nil {
		return err
	}
	if err := l.becomeIdle(ctx); err != nil {
		return err
	}
	live, err := l.liveHeap(ctx)
	if err != nil {
		return err
	}
	used, err := l.usage()
	if err != nil {
		return err
	}
	t.row("  "+title, megabytes(live), megabytes(used.memory), megabytes(used.peak))
	say("%s: live heap %s, resident %s, highest %s", title, megabytes(live), megabytes(used.memory), megabytes(used.peak))
	return nil
}

// liveHeap returns what the operator's garbage collector found in use when it ran again: an
// idle process collects every two minutes.
func (l *lab) liveHeap(ctx context.Context) (float64, error) {
	var first, live float64
	err := until(ctx, 5*time.Minute, "the operator collects its garbage", func(ctx context.Context) (bool, error) {
		text, err := l.operator.Metrics(ctx)
		if err != nil {
			return false, err
		}
		cycles, err := number(text, "go_gc_cycles_total_gc_cycles_total")
		if err != nil {
			return false, err
		}
		if first == 0 {
			first = cycles
		}
		live, err = number(text, "go_gc_heap_live_bytes")
		return cycles > first, err
	})
	return live, err
}
