package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	// testLabel is on the namespaces that tests create.
	testLabel  = "e2e.jobs.openradius.io/test"
	secretName = "database"
	secretKey  = "url"
)

// tenant is a Workspace with its namespace and its database.
type tenant struct {
	t         *testing.T
	name      string
	namespace string
	// url is the role's URL of its database.
	url string
	// db is a connection pool of that role.
	db *pgxpool.Pool
}

// newDatabase creates a database and its role for a tenant, and nothing in the cluster.
func newDatabase(t *testing.T, name string) *tenant {
	t.Helper()
	password := rand.Text()
	shared.keepSecret(password)
	tn := &tenant{t: t, name: name, namespace: "workspace-" + name}
	var err error
	if tn.url, err = shared.createTenant(t.Context(), name, password); err != nil {
		t.Fatal(err)
	}
	if tn.db, err = pgxpool.New(t.Context(), tn.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tn.db.Close)
	return tn
}

// createTenant creates one database at a time, since PostgreSQL refuses concurrent changes
// of what all databases share.
func (s *suite) createTenant(ctx context.Context, name, password string) (string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.server.CreateTenant(ctx, name, password)
}

// newTenant creates a tenant whose workspace is ready, in a namespace that it adopts.
func newTenant(t *testing.T, name string, options ...func(*v1alpha1.Workspace)) *tenant {
	t.Helper()
	tn := newDatabase(t, name)
	tn.adoptable()
	tn.giveSecret(tn.url)
	tn.create(options...)
	tn.waitReady()
	return tn
}

// adoptable creates the namespace, labelled for the workspace. So the Secret can exist before
// the workspace, and the migration has nothing to wait for.
func (tn *tenant) adoptable() {
	tn.t.Helper()
	tn.makeNamespace(map[string]string{testLabel: "true", v1alpha1.LabelWorkspace: tn.name})
}

func (tn *tenant) makeNamespace(labels map[string]string) {
	tn.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: tn.namespace, Labels: labels, Annotations: map[string]string{v1alpha1.AnnotationAdoptedBy: testenv.AdminUser},
	}}
	// For up to half a minute after the installation, the API server does not find the kind
	// that a policy reads, and refuses.
	testenv.Eventually(tn.t, "namespace "+tn.namespace, func(ctx context.Context) error { return shared.client.Create(ctx, namespace) })
	tn.t.Cleanup(func() { remove(tn.t, namespace) })
}

func (tn *tenant) giveSecret(url string) {
	tn.t.Helper()
	tn.giveSecretData(map[string]string{secretKey: url})
}

func (tn *tenant) giveSecretData(data map[string]string) {
	tn.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: tn.namespace, Name: secretName}, StringData: data}
	testenv.Eventually(tn.t, "a Secret in namespace "+tn.namespace, func(ctx context.Context) error {
		return shared.client.Create(ctx, secret.DeepCopy())
	})
}

// create creates the Workspace. When the test ends, its objects and logs are searched for
// passwords, printed if the test has failed, and removed.
func (tn *tenant) create(options ...func(*v1alpha1.Workspace)) *v1alpha1.Workspace {
	tn.t.Helper()
	ws := objects.MakeWorkspace(tn.name).Image(runnerImage).With(func(ws *v1alpha1.Workspace) { ws.Spec.Database.Egress = egressToHost() }).Obj()
	for _, option := range options {
		option(ws)
	}
	if err := shared.client.Create(tn.t.Context(), ws); err != nil {
		tn.t.Fatal(err)
	}
	tn.namespace = ws.NamespaceName()
	tn.t.Cleanup(func() {
		shared.checkSecrets(tn.t, tn.namespace)
		if tn.t.Failed() {
			shared.diagnose(tn.t, tn.namespace)
		}
		remove(tn.t, ws)
	})
	return ws
}

func egressToHost() []v1alpha1.EgressRule {
	return []v1alpha1.EgressRule{objects.EgressTo(shared.host + "/32")}
}

// remove deletes an object without waiting until it is gone.
func remove(t *testing.T, object client.Object) {
	t.Helper()
	if err := shared.client.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
		t.Errorf("remove %T %q: %v", object, object.GetName(), err)
	}
}

func (tn *tenant) get(ctx context.Context) (*v1alpha1.Workspace, error) {
	ws := &v1alpha1.Workspace{}
	return ws, shared.client.Get(ctx, client.ObjectKey{Name: tn.name}, ws)
}

func (tn *tenant) waitReady() {
	tn.t.Helper()
	tn.waitCondition(v1alpha1.ConditionReady, func(c metav1.Condition) bool { return c.Status == metav1.ConditionTrue })
}

// waitCondition waits until wanted returns true for a condition of the Workspace.
func (tn *tenant) waitCondition(kind string, wanted func(metav1.Condition) bool) metav1.Condition {
	tn.t.Helper()
	var found metav1.Condition
	testenv.Eventually(tn.t, fmt.Sprintf("Workspace %q: condition %s", tn.name, kind), func(ctx context.Context) error {
		ws, err := tn.get(ctx)
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(ws.Status.Conditions, kind)
		if condition == nil || !wanted(*condition) {
			return fmt.Errorf("%+v", ws.Status.Conditions)
		}
		found = *condition
		return nil
	})
	return found
}

// exec runs a statement as the tenant's role.
func (tn *tenant) exec(sql string, args ...any) {
	tn.t.Helper()
	if _, err := tn.db.Exec(tn.t.Context(), sql, args...); err != nil {
		tn.t.Fatalf("%s: %v", sql, err)
	}
}

// count returns the one number that a query returns.
func (tn *tenant) count(sql string, args ...any) int {
	tn.t.Helper()
	var count int
	if err := tn.db.QueryRow(tn.t.Context(), sql, args...).Scan(&count); err != nil {
		tn.t.Fatalf("%s: %v", sql, err)
	}
	return count
}

// waitRow waits until a query returns true.
func (tn *tenant) waitRow(what, sql string, args ...any) {
	tn.t.Helper()
	testenv.Eventually(tn.t, what, func(ctx context.Context) error {
		var yes bool
		if err := tn.db.QueryRow(ctx, sql, args...).Scan(&yes); err != nil {
			return err
		}
		if !yes {
			return fmt.Errorf("not true: %s", sql)
		}
		return nil
	})
}

// The table that counts effects has a row for each time that a job takes effect.
const (
	createEffects = `CREATE TABLE effects (at timestamptz NOT NULL DEFAULT clock_timestamp())`
	insertEffect  = `INSERT INTO effects DEFAULT VALUES`
	countEffects  = `SELECT count(*) FROM effects`
	// passBarrier waits while the test holds the barrier.
	passBarrier = `SELECT pg_advisory_xact_lock_shared(1)`
)

func (tn *tenant) wantEffects(want int) {
	tn.t.Helper()
	if got := tn.count(countEffects); got != want {
		tn.t.Errorf("the job took effect %d times, want %d", got, want)
	}
}

// barrier stops transactions that run passBarrier until it is lifted.
type barrier struct {
	tn   *tenant
	conn *pgx.Conn
}

func (tn *tenant) closeBarrier() *barrier {
	tn.t.Helper()
	conn, err := pgx.Connect(tn.t.Context(), tn.url)
	if err != nil {
		tn.t.Fatal(err)
	}
	tn.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(tn.t.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
		tn.t.Fatal(err)
	}
	return &barrier{tn: tn, conn: conn}
}

// waitFor waits until count transactions wait at the barrier.
func (b *barrier) waitFor(count int) {
	b.tn.t.Helper()
	b.tn.waitRow(fmt.Sprintf("%d transactions at the barrier", count),
		`SELECT count(*) = $1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`, count)
}

func (b *barrier) lift() {
	b.tn.t.Helper()
	if err := b.conn.Close(b.tn.t.Context()); err != nil {
		b.tn.t.Fatal(err)
	}
}
