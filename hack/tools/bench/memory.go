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

func memoryCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 10000, "how many jobs finish")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error { return measureMemory(ctx, l, max(*n, 1)) })
	}
}

// measureMemory compares a new operator process that finds nothing with one that
// finds n finished jobs, their Jobs and their pods.
func measureMemory(ctx context.Context, l *lab, n int) error {
	namespaces, err := l.makeWorkspaces(ctx, 1, time.Minute)
	if err != nil {
		return err
	}
	empty, err := l.freshUsage(ctx)
	if err != nil {
		return err
	}
	done := newMoments(n)
	err = l.watch(ctx, &v1alpha1.WorkspaceJob{}, func(object client.Object) {
		if jobSucceeded(object) {
			done.note(keyOf(object), time.Now())
		}
	})
	if err != nil {
		return err
	}
	say("running %d jobs", n)
	err = each(ctx, n, func(ctx context.Context, i int) error {
		return l.create(ctx, workspaceJob(namespaces[0], fmt.Sprintf("bench-%d", i)))
	})
	if err != nil {
		return err
	}
	if err := done.wait(ctx, settleLimit, "jobs done"); err != nil {
		return err
	}
	full, err := l.freshUsage(ctx)
	if err != nil {
		return err
	}
	t := table{{"the operator's resident memory", "now", "highest"}}
	t.row("  with nothing to watch", megabytes(empty.memory), megabytes(empty.peak))
	t.row(fmt.Sprintf("  with %d finished jobs", n), megabytes(full.memory), megabytes(full.peak))
	return t.write(os.Stdout)
}

func (l *lab) freshUsage(ctx context.Context) (usage, error) {
	if err := l.operator.Restart(ctx); err != nil {
		return usage{}, err
	}
	if err := l.becomeIdle(ctx); err != nil {
		return usage{}, err
	}
	return l.usage()
}
