package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func latencyCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	rate := flags.Int("rate", 20, "how many WorkspaceJobs are created in a second")
	lasts := flags.Duration("for", time.Minute, "for how long")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error { return measureLatency(ctx, l, max(*rate, 1), *lasts) })
	}
}

// measureLatency compares when a watch reports a WorkspaceJob with when one reports its Job.
func measureLatency(ctx context.Context, l *lab, rate int, lasts time.Duration) error {
	namespaces, err := l.makeWorkspaces(ctx, 1, time.Minute)
	if err != nil {
		return err
	}
	n := int(lasts.Seconds() * float64(rate))
	created, started := newMoments(n), newMoments(n)
	err = l.watch(ctx, &v1alpha1.WorkspaceJob{}, func(object client.Object) { created.note(keyOf(object), time.Now()) })
	if err != nil {
		return err
	}
	err = l.watch(ctx, &batchv1.Job{}, func(object client.Object) {
		if name := object.GetLabels()[v1alpha1.LabelJob]; name != "" {
			started.note(object.GetNamespace()+"/"+name, time.Now())
		}
	})
	if err != nil {
		return err
	}
	say("creating %d WorkspaceJobs, %d a second", n, rate)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range n {
		<-tick.C
		if err := l.create(ctx, workspaceJob(namespaces[0], fmt.Sprintf("bench-%d", i))); err != nil {
			return err
		}
	}
	if err := errors.Join(created.wait(ctx, time.Minute, "WorkspaceJobs"), started.wait(ctx, time.Minute, "Jobs")); err != nil {
		return err
	}
	var added []time.Duration
	at := started.seen()
	for key, since := range created.seen() {
		added = append(added, max(0, at[key].Sub(since)))
	}
	t := table{{fmt.Sprintf("from WorkspaceJob to Job, %d at %d a second", n, rate), "p50", "p99", "max"}}
	t.row(append([]string{""}, spread(added)...)...)
	return t.write(os.Stdout)
}
