package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// databaseDir is outside the repository: the server runs as another user, who may not
// have access to a home folder.
const databaseDir = "/var/lib/workspace-jobs-demo"

// tenants are the Workspaces of config/samples.
var tenants = []string{"acme", "globex"}

// demo is one run of this program.
type demo struct {
	started time.Time
	client  client.WithWatch
	urls    map[string]string   // of the tenants' databases
	before  map[string]snapshot // of those databases, before any job ran
	server  string              // where the REST API and the dashboard are
	overlay overlay
}

// up runs the demo step by step.
func (d *demo) up(ctx context.Context) error {
	steps := []struct {
		title string
		run   func(context.Context) error
	}{
		{"A Kubernetes cluster", d.startCluster},
		{"The operator and the server: make images deploy", d.deploy},
		{"A PostgreSQL server with a database for each tenant", d.startDatabases},
		{"Two tenants: config/samples/workspaces", d.makeTenants},
		{"REST API and dashboard: config/server/tls", d.serveDashboard},
		{"Their jobs, and a schedule that is due each minute: config/samples", d.runJobs},
		{"What the jobs left in Kubernetes", d.showObjects},
		{"What the jobs did in the databases", d.showDatabases},
		{"A run of the schedule: it fails once, and is retried", d.showSchedule},
	}
	for i, step := range steps {
		fmt.Printf("\n== %d/%d  %s  (after %s)\n", i+1, len(steps), step.title, time.Since(d.started).Round(time.Second))
		if err := step.run(ctx); err != nil {
			explain(ctx)
			return err
		}
	}
	fmt.Printf(`
== Done in %s. All jobs Succeeded; acme's old sessions are gone, globex's are untouched.

   Dashboard:   https://%s/hangfire  (the certificate is self-signed: your browser will warn you)
     an editor of acme signs in with:  bin/cluster kubectl --name demo -n workspace-acme create token %s
     an administrator with:            bin/cluster kubectl --name demo -n workspace-jobs-system create token platform-admin
   Objects:     bin/cluster kubectl --name demo get ws,wj,wrj -A
   A database:  psql "$(bin/cluster kubectl --name demo -n workspace-acme get secret database -o jsonpath={.data.url} | base64 -d)"
   Clean up:    make demo-down
`, time.Since(d.started).Round(time.Second), d.server, editor)
	return nil
}

func down(ctx context.Context) error {
	return errors.Join(
		show(ctx, tool, "down", "--name", "demo"),
		stopDatabases(ctx),
		os.RemoveAll(overlayDir),
	)
}

// explain prints where to look when the demo has failed.
func explain(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	fmt.Print(`
The demo failed. What it started is still there; see
  bin/cluster status --name demo
  bin/cluster kubectl --name demo get ws,wj,jobs,pods -A
  bin/cluster kubectl --name demo describe ws,wj -A
  bin/cluster kubectl --name demo -n workspace-jobs-system logs deployment/workspace-jobs-manager
  ` + databaseDir + `/log
and docs/operations.md. To start afresh: make demo-down demo
`)
}
