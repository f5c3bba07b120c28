package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

// jobsTake bounds how long the samples may take.
const jobsTake = 5 * time.Minute

// columns prints lines in columns.
func (d *demo) columns(lines [][]string) {
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(w, "   "+strings.Join(line, "\t"))
	}
	if err := w.Flush(); err != nil {
		d.say("%v", err)
	}
}

// watchJobs prints each change of a job's state until all jobs have ended.
func (d *demo) watchJobs(ctx context.Context) error {
	d.title("What happens to them, as kubectl get wj -A --watch sees it")
	ctx, cancel := context.WithTimeout(ctx, jobsTake)
	defer cancel()
	command := exec.CommandContext(ctx, tool, kubectlArgs("get", "workspacejobs", "-A", "-l", "!"+v1alpha1.LabelRecurringJob, "--watch", "-o", "json")...)
	var complaint bytes.Buffer
	command.Dir, command.Stderr = d.root, &complaint
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	// Only this process gets the signal, so that it can stop its kubectl.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	if err := command.Start(); err != nil {
		return err
	}
	changes := json.NewDecoder(output)
	d.seen = map[string]*v1alpha1.WorkspaceJob{}
	err = d.follow(changes, d.seen)
	late := ctx.Err()
	cancel()
	// It exits with an error because it was interrupted.
	_ = command.Wait()
	if err != nil {
		return errors.Join(late, fmt.Errorf("not all jobs have ended: %w: %s", err, &complaint))
	}
	return d.allSucceeded()
}

// allSucceeded fails with the message of each job that did not succeed.
func (d *demo) allSucceeded() error {
	var faults []error
	for key, job := range d.seen {
		if job.Status.State != v1alpha1.StateSucceeded {
			faults = append(faults, fmt.Errorf("the job %s is %s: %s", key, job.Status.State, job.Status.Message))
		}
	}
	return errors.Join(faults...)
}

// follow reads changes until every job seen is in a final state.
func (d *demo) follow(changes *json.Decoder, seen map[string]*v1alpha1.WorkspaceJob) error {
	began := time.Now()
	for {
		job := &v1alpha1.WorkspaceJob{}
		if err := changes.Decode(job); err != nil {
			return err
		}
		key := job.Namespace + "/" + job.Name
		if line := changeOf(seen[key], job); line != "" {
			fmt.Fprintf(d.out, "   %5.1f s  %-17s  %-22s  %s\n", time.Since(began).Seconds(), job.Namespace, job.Name, line)
		}
		seen[key] = job
		if len(seen) == d.jobs && allFinal(seen) {
			return nil
		}
	}
}

// changeOf returns what changed in a job; empty if nothing relevant did.
func changeOf(old, now *v1alpha1.WorkspaceJob) string {
	var before v1alpha1.WorkspaceJobStatus
	if old != nil {
		before = old.Status
	}
	if now.Status.State == "" || (before.State == now.Status.State && before.Message == now.Status.Message) {
		return ""
	}
	line := fmt.Sprintf("%-10s", now.Status.State)
	if now.Status.Message != "" {
		line += "  " + now.Status.Message
	}
	return line
}

func allFinal(jobs map[string]*v1alpha1.WorkspaceJob) bool {
	for _, job := range jobs {
		if !job.Status.State.Final() {
			return false
		}
	}
	return true
}
