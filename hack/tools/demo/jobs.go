package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// jobsTake bounds how long the samples may take.
const jobsTake = 5 * time.Minute

// runJobs applies the jobs and the schedule, and prints what happens to the jobs.
func (d *demo) runJobs(ctx context.Context) error {
	if err := kubectl(ctx, "apply", "-f", "config/samples/recurring/acme-heartbeat.yaml"); err != nil {
		return err
	}
	if err := d.apply(ctx, "jobs"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jobsTake)
	defer cancel()
	var jobs v1alpha1.WorkspaceJobList
	if err := d.client.List(ctx, &jobs); err != nil {
		return err
	}
	open := map[client.ObjectKey]bool{}
	for i := range jobs.Items {
		open[client.ObjectKeyFromObject(&jobs.Items[i])] = true
	}
	changes, err := d.client.Watch(ctx, &jobs)
	if err != nil {
		return err
	}
	defer changes.Stop()
	return follow(changes.ResultChan(), open)
}

// follow prints each change of a job's state, the schedule's runs included, until the open
// jobs have Succeeded.
func follow(changes <-chan watch.Event, open map[client.ObjectKey]bool) error {
	began, shown := time.Now(), map[client.ObjectKey]string{}
	for change := range changes {
		job, ok := change.Object.(*v1alpha1.WorkspaceJob)
		if !ok {
			return apierrors.FromObject(change.Object)
		}
		key, state := client.ObjectKeyFromObject(job), job.Status.State
		if line := fmt.Sprintf("%-10s  %s", state, job.Status.Message); state != "" && line != shown[key] {
			fmt.Printf("   %5.1f s  %-42s  %s\n", time.Since(began).Seconds(), key, line)
			shown[key] = line
		}
		if state == v1alpha1.StateSucceeded {
			delete(open, key)
		}
		if state.Final() && open[key] {
			return fmt.Errorf("the job %s is %s: %s", key, state, job.Status.Message)
		}
		if len(open) == 0 {
			return nil
		}
	}
	return fmt.Errorf("after %s these jobs have not ended: %v", jobsTake, open)
}

// showObjects shows what a user sees of jobs that have ended.
func (d *demo) showObjects(ctx context.Context) error {
	for _, command := range [][]string{
		{"get", "ws,wj", "-A"},
		{"describe", "workspacejob", "sync-prices", "-n", "workspace-acme"},
		{"get", "jobs,pods", "-n", "workspace-acme"},
		{"logs", "job/cleanup-old-sessions-1", "-n", "workspace-acme", "--tail=12"},
	} {
		if err := kubectl(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// showSchedule waits for a run of the schedule, and shows what is left of it.
func (d *demo) showSchedule(ctx context.Context) error {
	for _, command := range [][]string{
		{"wait", "wrj/heartbeat", "--for=jsonpath={.status.lastRun.state}=Succeeded", "--timeout=4m"},
		{"get", "wrj,cronjobs,wj,jobs", "-l", v1alpha1.LabelRecurringJob + "=heartbeat"},
		{"get", "wrj"},
		{"describe", "wrj", "heartbeat"},
	} {
		if err := kubectl(ctx, append([]string{"-n", "workspace-acme"}, command...)...); err != nil {
			return err
		}
	}
	return nil
}
