package e2e

import (
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// TestJobsCannotReachAnotherTenantsDatabase checks that the database refuses and rolls back
// what a tenant's jobs try. The tests of package postgres try far more, without a cluster.
func TestJobsCannotReachAnotherTenantsDatabase(t *testing.T) {
	t.Parallel()
	a, b := newTenantWithEffects(t, "border-a"), newTenantWithEffects(t, "border-b")
	b.exec(insertEffect)
	b.exec(`CREATE TABLE secrets AS SELECT 'of b' AS secret`)
	bs := b.closeBarrier()
	var pid int
	if err := bs.conn.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	for name, attempt := range map[string]string{
		"become":    `SET ROLE "border-b"`,
		"password":  `ALTER ROLE "border-b" PASSWORD 'known'`,
		"terminate": fmt.Sprintf(`SELECT pg_terminate_backend(%d)`, pid),
		"program":   `COPY effects TO PROGRAM 'cat >/dev/null'`,
		"file":      `SELECT pg_read_file('PG_VERSION')`,
		"extension": `CREATE EXTENSION dblink`,
		"schema":    `CREATE SCHEMA "border-b"`,
	} {
		a.start(a.makeSQL(name, insertEffect, attempt).Retries(0, time.Second))
	}
	a.start(a.makeSQL("allowed", insertEffect, `SET ROLE "border-a"`, `CREATE TABLE own (n int)`).Retries(0, time.Second))
	for _, name := range []string{"become", "password", "terminate", "program", "file", "extension", "schema"} {
		ended := a.waitFinal(name, v1alpha1.StateFailed)
		wantWords(t, "the message of "+name, ended.Status.Message, "[42501]")
	}
	a.waitFinal("allowed", v1alpha1.StateSucceeded)
	a.wantEffects(1) // only that of the allowed job

	if err := bs.conn.Ping(t.Context()); err != nil {
		t.Errorf("b's session: %v", err)
	}
	b.db.Reset() // connect again, since the password should be unchanged
	b.wantEffects(1)
	if got := b.count(`SELECT count(*) FROM secrets WHERE secret = 'of b'`); got != 1 {
		t.Errorf("b has %d secrets", got)
	}
	if got := b.count(`SELECT count(*) FROM hangfire.jobs`); got != 0 {
		t.Errorf("b's ledger has %d jobs", got)
	}
}

func TestSuperuserIsRefusedUnlessTheWorkspaceAllowsIt(t *testing.T) {
	t.Parallel()
	tn := newDatabase(t, "border-root")
	tn.exec(createEffects)
	tn.adoptable()
	tn.giveSecret(shared.server.URL("postgres", shared.server.AdminPassword, tn.name))
	tn.start(tn.makeSQL("add", insertEffect)) // before the quota exists, which refuses jobs at first
	tn.create()
	condition := tn.waitCondition(v1alpha1.ConditionDatabaseReady, func(c metav1.Condition) bool {
		return c.Reason == v1alpha1.ReasonDatabaseRefused && c.Status == metav1.ConditionFalse
	})
	wantWords(t, "the condition", condition.Message, `the database role "postgres" is a superuser`, "docs/database.md", "database.allowSuperuser")
	tn.waitJob("add", "waits for its workspace", func(job *v1alpha1.WorkspaceJob) bool {
		return readyOf(job).Reason == v1alpha1.ReasonWorkspaceNotReady && job.Status.State == v1alpha1.StateEnqueued
	})
	tn.wantNothingRun("add")
	tn.wantEffects(0)
	if got := tn.count(`SELECT count(*) FROM pg_class WHERE relnamespace = 'hangfire'::regnamespace`); got != 0 {
		t.Errorf("the ledger's schema has %d relations", got)
	}

	tn.kubectl("patch", "workspace", tn.name, "--type=merge", "-p", `{"spec":{"database":{"allowSuperuser":true}}}`)
	tn.waitReady()
	tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
}

// TestDatabaseIsVerifiedByAMountedCA has the certificate authority in a file of a Secret,
// for the migration and for jobs.
func TestDatabaseIsVerifiedByAMountedCA(t *testing.T) {
	t.Parallel()
	const caSecret, caKey = "database-ca", "ca.crt"
	ca, err := os.ReadFile(shared.server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	tn := newDatabase(t, "border-tls")
	tn.exec(createEffects)
	tn.adoptable()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: caSecret}, Data: map[string][]byte{caKey: ca}}
	if err := shared.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	u := tn.parsed()
	u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {contract.SecretsPath + "/" + caSecret + "/" + caKey}}.Encode()
	tn.giveSecret(u.String())
	tn.create(func(ws *v1alpha1.Workspace) { ws.Spec.Runner.Secrets = []string{caSecret} })
	tn.waitReady()
	tn.start(tn.makeSQL("add", `INSERT INTO effects SELECT FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl`))
	tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
}
