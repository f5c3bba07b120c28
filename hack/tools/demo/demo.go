package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	clusterName = "demo"
	// databaseDir is outside of the repository: the server runs as another user, who may have no
	// access to a home folder.
	databaseDir = "/var/lib/workspace-jobs-demo"
)

// tenants are the Workspaces of config/samples.
var tenants = []string{"acme", "globex"}

// demo is one run of this program.
type demo struct {
	root    string
	out     io.Writer
	started time.Time

	host   string            // the host's address as pods see it
	port   int               // the database server's
	server string            // where REST and dashboard are served
	urls   map[string]string // a tenant's database
	source *source

	before, after map[string]snapshot
	jobs          int                               // how many were applied
	seen          map[string]*v1alpha1.WorkspaceJob // by namespace/name, as last seen
	heartbeats    []*v1alpha1.WorkspaceJob          // the runs of the schedule that were seen
}

func (d *demo) up(ctx context.Context) error {
	phases := []func(context.Context) error{
		d.startCluster, d.installOperator, d.removeSamples, d.startDatabases, d.startSource,
		d.applyWorkspaces, d.applySchedule, d.applyJobs, d.watchJobs, d.showObjects, d.watchSchedule, d.showDatabases, d.serveDashboard, d.check,
	}
	for _, phase := range phases {
		if err := phase(ctx); err != nil {
			d.explain(err)
			return err
		}
	}
	d.title("Done")
	d.sayHowToSignIn()
	d.say("Look around:    bin/cluster kubectl --name demo get ws,wj,wrj -A")
	d.say("A database:     psql \"$(bin/cluster kubectl --name demo -n workspace-acme get secret database -o jsonpath={.data.url} | base64 -d)\"")
	d.say("Clean up:       make demo-down")
	return nil
}

func (d *demo) down(ctx context.Context) error {
	return errors.Join(
		d.show(ctx, tool, "down", "--name", clusterName),
		stopDatabase(ctx),
		os.RemoveAll(d.overlay()),
	)
}

func (d *demo) startCluster(ctx context.Context) error {
	d.title("A Kubernetes cluster")
	if err := d.show(ctx, tool, "up", "--name", clusterName); err != nil {
		return err
	}
	host, err := d.quiet(ctx, "", tool, "host-address", "--name", clusterName)
	if err != nil {
		return err
	}
	d.host = host
	return d.kubectl(ctx, "get", "nodes", "-o", "wide")
}

// installOperator installs the operator as a user does: images, then make deploy.
func (d *demo) installOperator(ctx context.Context) error {
	d.title("The operator")
	if err := d.show(ctx, "make", "images"); err != nil {
		return err
	}
	if err := d.show(ctx, tool, "load", "--name", clusterName, "dist/manager.tar", "dist/runner.tar", "dist/server.tar"); err != nil {
		return err
	}
	earlier, err := d.quiet(ctx, "", tool, kubectlArgs("get", "deployments", "-A", "-o", "name",
		"-l", "app.kubernetes.io/name=workspace-jobs")...)
	if err != nil {
		return err
	}
	if err := d.show(ctx, "make", "deploy", "KUBECTL=bin/cluster kubectl --name "+clusterName); err != nil {
		return err
	}
	if earlier == "" {
		return nil
	}
	d.say("It was installed already: it is restarted with the image that was just loaded.")
	if err := d.kubectl(ctx, "-n", "workspace-jobs-system", "rollout", "restart", "deployment/workspace-jobs-manager", "deployment/workspace-jobs-server"); err != nil {
		return err
	}
	return d.kubectl(ctx, "-n", "workspace-jobs-system", "rollout", "status", "deployment/workspace-jobs-manager", "--timeout=3m")
}

// removeSamples lets another run start from the same state as the first.
func (d *demo) removeSamples(ctx context.Context) error {
	left, err := d.quiet(ctx, "", tool, kubectlArgs("get", "workspaces", "-o", "name")...)
	if err != nil || left == "" {
		return err
	}
	d.title("The tenants of an earlier run are removed, with their namespaces")
	err = d.kubectl(ctx, append([]string{"delete", "workspaces", "--ignore-not-found", "--timeout=3m"}, tenants...)...)
	if err != nil {
		return err
	}
	gone := []string{"wait", "--for=delete", "--timeout=3m"}
	for _, tenant := range tenants {
		gone = append(gone, "namespace/workspace-"+tenant)
	}
	return d.kubectl(ctx, gone...)
}

func (d *demo) applyWorkspaces(ctx context.Context) error {
	d.title("Two tenants: config/samples/workspaces")
	if err := d.writeOverlays(); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "apply", "-k", d.overlayName("workspaces")); err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := d.giveSecret(ctx, tenant); err != nil {
			return err
		}
	}
	if err := d.kubectl(ctx, "-n", "workspace-acme", "create", "serviceaccount", editorAccount); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "wait", "workspaces", "--all", "--for=condition=Ready", "--timeout=3m"); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "get", "workspaces"); err != nil {
		return err
	}
	d.say("An engineer of acme can create jobs in acme, and not in globex:")
	for _, tenant := range tenants {
		// `kubectl auth can-i` exits with 1 for a no.
		answer, err := d.quiet(ctx, "", "sh", "-c", tool+" kubectl --name "+clusterName+
			" auth can-i create workspacejobs --as=ann --as-group=acme-engineers -n workspace-"+tenant+" || true")
		if err != nil {
			return err
		}
		d.say("  kubectl auth can-i create workspacejobs --as=ann --as-group=acme-engineers -n workspace-%s: %s", tenant, answer)
	}
	return nil
}

// giveSecret puts the tenant's database URL into its namespace. It is passed on standard input, so
// that no process list shows it.
func (d *demo) giveSecret(ctx context.Context, tenant string) error {
	namespace := "workspace-" + tenant
	if err := d.kubectl(ctx, "wait", "namespace/"+namespace, "--for=create", "--timeout=1m"); err != nil {
		return err
	}
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata:\n  name: database\n  namespace: %s\nstringData:\n  url: %q\n",
		namespace, d.urls[tenant])
	said, err := d.quiet(ctx, manifest, tool, kubectlArgs("apply", "-f", "-")...)
	d.say("%s with %s", said, redacted(d.urls[tenant]))
	return err
}

func redacted(connection string) string {
	u, err := url.Parse(connection)
	if err != nil {
		return "a URL"
	}
	return u.Redacted()
}

func (d *demo) applyJobs(ctx context.Context) error {
	d.title("Their jobs: config/samples/jobs")
	if err := d.kubectl(ctx, "apply", "-k", d.overlayName("jobs")); err != nil {
		return err
	}
	names, err := d.quiet(ctx, "", tool, kubectlArgs("get", "workspacejobs", "-A", "-l", "!"+v1alpha1.LabelRecurringJob, "-o", "name")...)
	d.jobs = len(strings.Fields(names))
	return err
}

// explain says where to look when the demo has failed.
func (d *demo) explain(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	fmt.Fprintf(d.out, `
The demo failed. What it made is still there; where to look:
  bin/cluster status --name demo
  bin/cluster kubectl --name demo get ws,wj,jobs,pods -A
  bin/cluster kubectl --name demo describe ws,wj -A
  bin/cluster kubectl --name demo -n workspace-jobs-system logs deployment/workspace-jobs-manager
  %s
and docs/operations.md. To start afresh: make demo-down demo
`, filepath.Join(databaseDir, "log"))
}
