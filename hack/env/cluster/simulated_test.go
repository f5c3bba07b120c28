//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// On a simulated node a Job goes all its way: scheduled, run, complete.
func TestSimulatedNodeRunsJobs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	planes := make(chan controlPlane, 1)
	ended := make(chan error, 1)
	options := runOptions{folder: filepath.Join(t.TempDir(), "plane"), simulatedNode: true}
	go func() {
		ended <- run(ctx, options, func(plane controlPlane, _ string) { planes <- plane })
	}()
	select {
	case err := <-ended:
		t.Fatalf("it ended before it was ready: %v", err)
	case plane := <-planes:
		checkJobCompletes(ctx, t, plane)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func checkJobCompletes(ctx context.Context, t *testing.T, plane controlPlane) {
	t.Helper()
	client, err := newAdminClient(plane.pki)
	if err != nil {
		t.Fatal(err)
	}
	const job = `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": {"spec": {
		"restartPolicy": "Never", "containers": [{"name": "none", "image": "localhost/none"}]}}}}`
	jobs := plane.server() + "/apis/batch/v1/namespaces/default/jobs"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, jobs, strings.NewReader(job))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if _, err := send(client, request); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not within a minute"))
	defer cancel()
	err = poll(limited, 100*time.Millisecond, func(ctx context.Context) error {
		body, err := get(ctx, client, jobs+"/once")
		if err != nil {
			return err
		}
		var live struct{ Status struct{ Succeeded int } }
		if err := json.Unmarshal(body, &live); err != nil {
			return err
		}
		if live.Status.Succeeded != 1 {
			return errors.New("the Job has not succeeded: " + string(body))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
