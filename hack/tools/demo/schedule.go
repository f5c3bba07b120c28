package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

//go:embed heartbeat.yaml
var heartbeat string

const (
	// runsTake bounds how long two runs of a schedule of every minute may take.
	runsTake     = 4 * time.Minute
	heartbeatKey = "jobs.openradius.io/recurring-job=heartbeat"
	beatsSQL     = `SELECT to_char(beat_at, 'HH24:MI:SS') AS beat FROM heartbeats ORDER BY beat_at`
)

// applySchedule runs before the jobs are applied, so that its first run is due while they run.
func (d *demo) applySchedule(ctx context.Context) error {
	d.title("A recurring job, due each minute: hack/tools/demo/heartbeat.yaml")
	said, err := d.quiet(ctx, heartbeat, tool, kubectlArgs("apply", "-f", "-")...)
	d.say("%s", said)
	return err
}

// watchSchedule waits for two runs, and shows which are kept.
func (d *demo) watchSchedule(ctx context.Context) error {
	d.title("What its schedule does: two runs, each at its second attempt")
	first, err := d.nextRun(ctx, "")
	if err != nil {
		return err
	}
	second, err := d.nextRun(ctx, first.Name)
	if err != nil {
		return err
	}
	d.heartbeats = []*v1alpha1.WorkspaceJob{first, second}
	if err := d.kubectl(ctx, "wait", "--for=delete", "workspacejob/"+first.Name, "-n", first.Namespace, "--timeout=1m"); err != nil {
		return err
	}
	d.say("The history's limit has deleted the older one: it keeps one run that succeeded.")
	for _, command := range [][]string{
		{"get", "wrj,cronjobs,wj,jobs", "-n", "workspace-acme", "-l", heartbeatKey},
		{"get", "wrj", "-A"},
		{"describe", "wrj", "heartbeat", "-n", "workspace-acme"},
	} {
		if err := d.kubectl(ctx, command...); err != nil {
			return err
		}
	}
	return d.table(ctx, "acme", beatsSQL)
}

// nextRun waits until a run other than the named one has succeeded, and shows it.
func (d *demo) nextRun(ctx context.Context, after string) (*v1alpha1.WorkspaceJob, error) {
	var recurring v1alpha1.WorkspaceRecurringJob
	err := wait.PollUntilContextTimeout(ctx, time.Second, runsTake, true, func(ctx context.Context) (bool, error) {
		if err := d.read(ctx, &recurring, "workspacerecurringjob", "heartbeat"); err != nil {
			return false, err
		}
		last := recurring.Status.LastRun
		return last != nil && last.Name != after && last.State == v1alpha1.StateSucceeded, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for a run of heartbeat; its status is %+v: %w", recurring.Status, err)
	}
	run := &v1alpha1.WorkspaceJob{}
	if err := d.read(ctx, run, "workspacejob", recurring.Status.LastRun.Name); err != nil {
		return nil, err
	}
	due, _ := run.ScheduledAt()
	d.say("%s was due at %s:", run.Name, due.Format(time.TimeOnly))
	for _, a := range run.Status.Attempts {
		started := "never"
		if a.StartedAt != nil {
			started = a.StartedAt.UTC().Format(time.TimeOnly)
		}
		d.say("  attempt %d, started at %s: %s  %s", a.Number, started, a.Outcome, a.Error)
	}
	return run, nil
}

func (d *demo) read(ctx context.Context, into any, kind, name string) error {
	text, err := d.quiet(ctx, "", tool, kubectlArgs("get", kind, name, "-n", "workspace-acme", "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}
