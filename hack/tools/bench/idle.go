package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// settleLimit is how long the operator may take to become idle.
const settleLimit = 20 * time.Minute

func idleCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	workspaces := flags.Int("workspaces", 1000, "how many workspaces")
	recurring := flags.Int("recurring", 10, "how many recurring jobs each has")
	lasts := flags.Duration("for", 3*time.Minute, "how long it is watched while idle")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error {
			return measureIdle(ctx, l, max(*workspaces, 1), max(*recurring, 0), *lasts)
		})
	}
}

// measureIdle watches an operator that has just started and has nothing left to do.
func measureIdle(ctx context.Context, l *lab, workspaces, recurring int, lasts time.Duration) error {
	namespaces, err := l.makeWorkspaces(ctx, workspaces, settleLimit)
	if err != nil {
		return err
	}
	n := workspaces * recurring
	if err := l.makeRecurring(ctx, namespaces, recurring); err != nil {
		return err
	}
	if err := l.operator.Restart(ctx); err != nil {
		return err
	}
	if err := l.becomeIdle(ctx); err != nil {
		return err
	}
	before, used, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	say("watching it for %s", lasts)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(lasts):
	}
	after, now, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	sent := after.since(before)
	perMinute := func(count float64) string { return fmt.Sprintf("%.1f", count/lasts.Minutes()) }
	t := table{{fmt.Sprintf("an idle operator with %d workspaces and %d recurring jobs", workspaces, n), ""}}
	t.row("  writes a minute", perMinute(sent.sum("POST", "PUT", "PATCH", "DELETE")))
	t.row("  reads a minute (watches are renewed every 5 to 10 minutes)", perMinute(sent.sum("GET")))
	t.row("  memory, highest", megabytes(now.memory)+", "+megabytes(now.peak))
	t.row("  CPU", fmt.Sprintf("%.2f%% of a core", 100*(now.cpu-used.cpu)/lasts.Seconds()))
	return t.write(os.Stdout)
}

// makeRecurring makes as many recurring jobs in each namespace, which are not due soon, and
// returns once all are scheduled.
func (l *lab) makeRecurring(ctx context.Context, namespaces []string, inEach int) error {
	n := len(namespaces) * inEach
	say("making %d recurring jobs", n)
	err := each(ctx, n, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("yearly-%d", i/len(namespaces))
		return l.create(ctx, recurringJob(namespaces[i%len(namespaces)], name, "0 0 29 2 *"))
	})
	if err != nil {
		return err
	}
	return l.schedulesReady(ctx, n)
}

func (l *lab) schedulesReady(ctx context.Context, n int) error {
	return until(ctx, settleLimit, "the schedules are ready", func(ctx context.Context) (bool, error) {
		if err := l.operator.Alive(); err != nil {
			return false, err
		}
		var list v1alpha1.WorkspaceRecurringJobList
		if err := l.client.List(ctx, &list); err != nil {
			return false, err
		}
		ready := 0
		for i := range list.Items {
			if list.Items[i].Status.NextScheduledAt != nil {
				ready++
			}
		}
		return ready == n, nil
	})
}

// becomeIdle waits until the operator has sent no request for half a minute.
func (l *lab) becomeIdle(ctx context.Context) error {
	quiet, last := time.Now(), -1.0
	return until(ctx, settleLimit, "the operator is idle", func(ctx context.Context) (bool, error) {
		sent, err := l.requests(ctx)
		if err != nil {
			return false, err
		}
		if all := sent.sum("GET", "POST", "PUT", "PATCH", "DELETE"); all != last {
			quiet, last = time.Now(), all
		}
		return time.Since(quiet) > 30*time.Second, nil
	})
}

func (l *lab) snapshot(ctx context.Context) (tally, usage, error) {
	sent, err := l.requests(ctx)
	if err != nil {
		return nil, usage{}, err
	}
	used, err := l.usage()
	return sent, used, err
}
