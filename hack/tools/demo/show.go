package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	runsSQL = `SELECT j.name, j.handler, r.run, r.state, count(*) AS attempts, left(r.result::text, 90) AS result
		FROM hangfire.jobs j JOIN hangfire.runs r ON r.job_id = j.id
		JOIN hangfire.attempts a ON a.job_id = r.job_id AND a.run = r.run
		GROUP BY j.id, r.job_id, r.run ORDER BY j.name`
	attemptsSQL = `SELECT a.attempt, to_char(a.started_at, 'HH24:MI:SS') AS started, a.outcome, coalesce(left(a.error, 110), '') AS error
		FROM hangfire.attempts a JOIN hangfire.jobs j ON j.id = a.job_id
		WHERE j.name = 'sync-prices' ORDER BY a.token`
	reportsSQL = `SELECT id, to_char(period_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS from_utc,
		to_char(period_end AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS to_utc, row_count AS rows,
		split_part(csv, E'\n', 1) AS columns, split_part(csv, E'\n', 2) AS first
		FROM hangfire.reports ORDER BY id, period_start`
	plansSQL  = `SELECT count(*) AS plans, min(name) AS first, max(name) AS last FROM plans`
	pricesSQL = `SELECT count(*) AS prices, min(cents) AS lowest, max(cents) AS highest FROM prices`
)

// showObjects shows what a user sees of finished jobs.
func (d *demo) showObjects(ctx context.Context) error {
	d.title("What is left to see: objects")
	commands := [][]string{
		{"get", "ws,wj", "-A"},
		{"wait", "--for=condition=Succeeded", "workspacejobs", "-l", "!jobs.openradius.io/recurring-job", "-n", "workspace-acme", "--timeout=10s"},
		{"describe", "workspacejob", "sync-prices", "-n", "workspace-acme"},
		{"get", "jobs,pods", "-n", "workspace-acme"},
		{"logs", "job/cleanup-old-sessions-1", "-n", "workspace-acme", "--tail=12"},
	}
	for _, command := range commands {
		if err := d.kubectl(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// showDatabases shows what the jobs did.
func (d *demo) showDatabases(ctx context.Context) error {
	d.title("What is left to see: databases")
	after, err := d.snapshots(ctx)
	if err != nil {
		return err
	}
	d.after = after
	for _, tenant := range tenants {
		d.say("%-7s before: %s", tenant, d.before[tenant])
		d.say("%-7s after:  %s", "", after[tenant])
	}
	for _, shown := range []struct{ title, tenant, query string }{
		{"acme's reports", "acme", reportsSQL},
		{"globex's reports", "globex", reportsSQL},
		{"acme's plans, synced", "acme", plansSQL},
		{"acme's prices, synced at the third attempt", "acme", pricesSQL},
		{"acme's ledger (schema hangfire): its runs", "acme", runsSQL},
		{"acme's ledger: the attempts of sync-prices", "acme", attemptsSQL},
		{"globex's ledger: its runs", "globex", runsSQL},
	} {
		d.say("")
		d.say("%s:", shown.title)
		if err := d.table(ctx, shown.tenant, shown.query); err != nil {
			return err
		}
	}
	return nil
}

// check fails unless the jobs, which have all Succeeded, did what they should and nothing else.
func (d *demo) check(_ context.Context) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	before, after := d.before["acme"], d.after["acme"]
	if before.old == 0 || after.old != 0 {
		fault("acme had %d old sessions and has %d", before.old, after.old)
	}
	if kept := before.sessions - before.old; after.sessions != kept {
		fault("acme should have kept %d sessions and has %d", kept, after.sessions)
	}
	if d.before["globex"] != d.after["globex"] {
		fault("globex's sessions have changed: %s is now %s", d.before["globex"], d.after["globex"])
	}
	retried := d.seen["workspace-acme/sync-prices"]
	if retried == nil || retried.Status.RunAttempts != refusals+1 {
		fault("sync-prices should have failed twice before it succeeded")
	}
	for _, run := range d.heartbeats {
		if run.Status.RunAttempts != 2 {
			fault("%s should have failed once before it succeeded", run.Name)
		}
	}
	if len(faults) == 0 {
		d.title("All %d jobs Succeeded; acme's old sessions are gone, globex's are untouched", len(d.seen))
	}
	return errors.Join(faults...)
}
