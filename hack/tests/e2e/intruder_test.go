package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	intruderImage = registry + "/intruder:" + tag
	listenPort    = 8000
)

// loadIntruder builds the image of hack/tests/e2e/intruder, which only tests use, and loads
// it into the cluster.
var loadIntruder = sync.OnceValue(func() error {
	return inFolder(func(ctx context.Context, folder string) error {
		binary, archive := filepath.Join(folder, "intruder"), filepath.Join(folder, "intruder.tar")
		for _, command := range [][]string{
			{"env", "CGO_ENABLED=0", "go", "build", "-C", shared.root, "-o", binary, "./hack/tests/e2e/intruder"},
			{"go", "-C", filepath.Join(shared.root, "hack", "env", "image"), "run", ".", "--binary", binary, "--name", intruderImage, "--output", archive},
		} {
			if _, err := shared.command(ctx, command[0], command[1:]...); err != nil {
				return err
			}
		}
		return shared.load(ctx, archive)
	})
})

// withIntruder gives a workspace that image, and allows its pods to reach only the
// database's port.
func withIntruder(ws *v1alpha1.Workspace) {
	ws.Spec.Runner.Image = intruderImage
	ws.Spec.Database.Egress = []v1alpha1.EgressRule{{
		To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: shared.host + "/32"}}},
		Ports: []v1alpha1.EgressPort{{Port: new(int32(shared.server.Port))}},
	}}
}

func newIntruder(t *testing.T, name string, options ...func(*v1alpha1.Workspace)) *tenant {
	t.Helper()
	if err := loadIntruder(); err != nil {
		t.Fatal(err)
	}
	return newTenant(t, name, append([]func(*v1alpha1.Workspace){withIntruder}, options...)...)
}

// intrude runs one of the intruder's handlers and returns its result.
func intrude[T any](tn *tenant, name, handler string, args any) (result T) {
	tn.t.Helper()
	job := tn.makeJob(name, handler).Retries(0, time.Second)
	if args != nil {
		job.ArgsOf(args)
	}
	tn.start(job)
	tn.waitFinal(name, v1alpha1.StateSucceeded)
	tn.result(name, &result)
	return result
}

// TestCompromisedRunnerIsConfinedToItsContainer checks that a tenant's code, in a container
// as the operator creates it, is an unprivileged user and sees nothing but itself.
func TestCompromisedRunnerIsConfinedToItsContainer(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "intruded")
	seen := intrude[struct {
		User, Memory                                                       string
		Status, Tried                                                      map[string]string
		Secrets, Environment, Commands, Devices, Writable, ReadOnly, Disks []string
	}](tn, "inspect", "inspect", nil)
	t.Logf("%+v", seen)

	none := "0000000000000000"
	for name, want := range map[string]string{
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := seen.Status[name]; got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if seen.User != "65532:65532" {
		t.Errorf("it runs as %s", seen.User)
	}
	if seen.Memory != strconv.Itoa(256<<20) {
		t.Errorf("its memory is limited to %s bytes, not the LimitRange's", seen.Memory)
	}
	for what, answer := range seen.Tried {
		// Some kernels don't have the file of the memory.
		if !slices.Contains([]string{"operation not permitted", "permission denied", "no such file or directory"}, answer) {
			t.Errorf("%s: %s", what, answer)
		}
	}
	wantOnly(t, "secrets", seen.Secrets)
	wantOnly(t, "processes", seen.Commands, "intruder")
	// The database's URL is the tenant's own. Kubernetes adds only addresses.
	wantOnly(t, "environment", seen.Environment,
		"DATABASE_URL", "DATABASE_ALLOW_SUPERUSER", "LEDGER_SCHEMA", "JOB_WORKSPACE", "JOB_QUEUE", "JOB_HANDLER", "JOB_ARGS", "JOB_NAME", "JOB_ID", "JOB_RUN", "JOB_ATTEMPT",
		"PATH", "HOSTNAME", "HOME", "SSL_CERT_FILE",
		"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_PORT",
		"KUBERNETES_PORT_443_TCP", "KUBERNETES_PORT_443_TCP_PROTO", "KUBERNETES_PORT_443_TCP_PORT", "KUBERNETES_PORT_443_TCP_ADDR")
	wantOnly(t, "devices", seen.Devices,
		"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "termination-log", "tty", "urandom", "zero")
	wantOnly(t, "places that it can write to", seen.Writable, "/tmp", "/dev/shm", "/dev/mqueue", "/dev/termination-log", "/proc/1/mem")
	for _, place := range []string{"/", "/etc/resolv.conf", "/proc/sys", "/sys"} {
		if !slices.Contains(seen.ReadOnly, place) {
			t.Errorf("%s is not mounted read-only", place)
		}
	}
	// The kubelet mounts only the pod's own files from the node's disk.
	wantOnly(t, "mounts of the node's disk", seen.Disks, "/tmp", "/dev/termination-log", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/shm")
}

// wantOnly fails the test for each of got that is not known.
func wantOnly(t *testing.T, what string, got []string, known ...string) {
	t.Helper()
	for _, one := range got {
		if !slices.Contains(known, one) {
			t.Errorf("%s: unexpected %q", what, one)
		}
	}
}

// TestCompromisedRunnerStaysInItsDatabase checks that the database server keeps tenants
// apart, whatever the network allows.
func TestCompromisedRunnerStaysInItsDatabase(t *testing.T) {
	t.Parallel()
	other := newDatabase(t, "bystander-data")
	other.exec(createEffects)
	tn := newIntruder(t, "intruded-data")
	const insufficientPrivilege, wrongPassword = "SQLSTATE 42501", "SQLSTATE 28P01"
	attempts := []struct{ name, statement, role, database, want string }{
		{name: "log in to the other's database", database: other.name, want: insufficientPrivilege},
		{name: "log in as the other", role: other.name, want: wrongPassword},
		{name: "log in as the other to its database", role: other.name, database: other.name, want: wrongPassword},
		{name: "log in to the server's own database", database: "postgres", want: insufficientPrivilege},
		{name: "log in as the server's owner", role: "postgres", want: wrongPassword},
		{name: "become the other", statement: fmt.Sprintf("SET ROLE %q", other.name), want: insufficientPrivilege},
		{name: "become the server's owner", statement: "SET ROLE postgres", want: insufficientPrivilege},
		{name: "make a role", statement: "CREATE ROLE intruder SUPERUSER", want: insufficientPrivilege},
		{name: "run a program", statement: "COPY (SELECT 1) TO PROGRAM 'true'", want: insufficientPrivilege},
		{name: "read a file", statement: "SELECT pg_read_file('PG_VERSION')", want: insufficientPrivilege},
		{name: "write a file", statement: "COPY (SELECT 1) TO '/tmp/intruder'", want: insufficientPrivilege},
		{name: "read passwords", statement: "SELECT rolpassword FROM pg_authid", want: insufficientPrivilege},
		{name: "change the server", statement: "ALTER SYSTEM SET log_statement = 'all'", want: insufficientPrivilege},
		{name: "read what others ask", statement: "SELECT count(*)::text FROM pg_stat_activity WHERE usename <> current_user AND query NOT IN ('', '<insufficient privilege>')", want: "0"},
		// It may change its own tenant's data, including the ledger.
		{name: "alter its own ledger", statement: "UPDATE hangfire.runs SET result = '{}' WHERE false RETURNING 'no'", want: "done"},
		// In PostgreSQL, every role may read these.
		{name: "read the names of databases", statement: fmt.Sprintf("SELECT datname::text FROM pg_database WHERE datname = '%s'", other.name), want: other.name},
		{name: "read the names of roles", statement: fmt.Sprintf("SELECT rolname::text FROM pg_roles WHERE rolname = '%s'", other.name), want: other.name},
	}
	statements, logins := map[string]string{}, map[string]map[string]string{}
	for _, attempt := range attempts {
		if attempt.statement != "" {
			statements[attempt.name] = attempt.statement
		} else {
			logins[attempt.name] = map[string]string{"role": attempt.role, "database": attempt.database}
		}
	}
	answers := intrude[map[string]string](tn, "ask", "ask", map[string]any{"statements": statements, "logins": logins})
	for _, attempt := range attempts {
		if got := answers[attempt.name]; got != attempt.want {
			t.Errorf("%s: %q, want %q", attempt.name, got, attempt.want)
		}
	}
	other.wantEffects(0)
}
