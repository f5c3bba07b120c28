package e2e

import (
	"encoding/json"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// TestArgumentsThatDoNotFitAreRefused checks that a job that the runner refuses is not
// retried and changes nothing in the database.
func TestArgumentsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "refused-args")
	tn.exec(createSessions)
	tn.exec(fillSessions)
	cleanup := func(table, column string) map[string]any {
		return map[string]any{"table": table, "column": column, "olderThan": "365d"}
	}
	for _, test := range []struct {
		name, handler string
		args          any
		reason        string
		words         []string
	}{
		{"no-such-handler", "data-cleanip", nil, v1alpha1.ReasonInvalidArguments,
			[]string{"does not have the job's handler", "data-cleanup", "external-sync", "report", "sql"}},
		{"unknown-field", "sql", map[string]any{"statements": []string{insertEffect}, "transactoin": "one"}, v1alpha1.ReasonInvalidArguments,
			[]string{`the arguments don't fit the handler "sql"`, `"transactoin"`}},
		{"wrong-type", "sql", map[string]any{"statements": insertEffect}, v1alpha1.ReasonInvalidArguments,
			[]string{`the arguments don't fit the handler "sql"`, "statements"}},
		{"no-such-table", "data-cleanup", cleanup("sesions", "ended"), v1alpha1.ReasonPermanentFailure,
			[]string{`table "sesions" does not exist`}},
		{"no-such-column", "data-cleanup", cleanup("sessions", "endde"), v1alpha1.ReasonPermanentFailure,
			[]string{`"endde"`, "sessions"}},
		{"table-with-sql", "data-cleanup", cleanup(`sessions; DROP TABLE effects; --`, "ended"), v1alpha1.ReasonPermanentFailure,
			[]string{`table "sessions; DROP TABLE effects; --" does not exist`}},
		{"column-with-sql", "data-cleanup", cleanup("sessions", `ended" < now() OR true; --`), v1alpha1.ReasonPermanentFailure,
			[]string{"OR true"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			job := tn.makeJob(test.name, test.handler)
			if test.args != nil {
				job.ArgsOf(test.args)
			}
			tn.start(job)
			ended := tn.waitFinal(test.name, v1alpha1.StateFailed)
			wantAttempts(t, ended, v1alpha1.OutcomePermanentFailure)
			if reason := readyOf(ended).Reason; reason != test.reason {
				t.Errorf("the reason is %s, want %s", reason, test.reason)
			}
			wantWords(t, "the message", ended.Status.Message, test.words...)
		})
	}
	tn.wantEffects(0)
	if got := tn.count(countSessions); got != 500 {
		t.Errorf("there are %d sessions, want 500", got)
	}
}

func TestArgumentsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "large-args")
	large, err := json.Marshal(map[string]any{"statements": []string{insertEffect, "SELECT '" + strings.Repeat("x", contract.MaxArgs) + "'"}})
	if err != nil {
		t.Fatal(err)
	}
	err = shared.client.Create(t.Context(), tn.makeJob("large", "sql").Args(string(large)).Obj())
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Fatalf("it is not refused as too large, but: %v", err)
	}
	wantWords(t, "the refusal", err.Error(), "64 KiB", "put the data into the database")
	tn.wantEffects(0)
}

// TestAPIServerRefusesWhatCannotBe checks the refusals of the API server.
func TestAPIServerRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	tn := &tenant{t: t, namespace: "default"}
	for _, test := range []struct {
		name  string
		spoil func(*v1alpha1.WorkspaceJobSpec)
		words []string
	}{
		{"delay-with-run-at", func(spec *v1alpha1.WorkspaceJobSpec) {
			spec.Delay, spec.RunAt = &v1alpha1.Duration{Duration: time.Hour}, new(metav1.Now())
		}, []string{"delay and runAt exclude each other: set one of them, or neither to run now"}},
		{"negative-timeout", func(spec *v1alpha1.WorkspaceJobSpec) {
			spec.Timeout = &v1alpha1.Duration{Duration: -time.Second}
		}, []string{"spec.timeout", "must be a duration such as 90s or 1h30m"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job := tn.makeSQL(test.name, "SELECT 1").Obj()
			test.spoil(&job.Spec)
			err := shared.client.Create(t.Context(), job)
			if err == nil {
				t.Fatal("it was created")
			}
			wantWords(t, "the refusal", err.Error(), test.words...)
		})
	}
}

func TestImmutableFieldSaysWhatToDoInstead(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "immutable")
	for name, change := range map[string]func(*v1alpha1.WorkspaceJobSpec){
		"handler": func(spec *v1alpha1.WorkspaceJobSpec) { spec.Handler = "report" },
		"args":    func(spec *v1alpha1.WorkspaceJobSpec) { spec.Args.Raw = []byte(`{"statements": ["SELECT 2"]}`) },
		"timeout": func(spec *v1alpha1.WorkspaceJobSpec) { spec.Timeout = &v1alpha1.Duration{Duration: time.Hour} },
	} {
		job := tn.start(tn.makeSQL("fixed-"+name, insertEffect).Delay(time.Hour))
		before := job.DeepCopy()
		change(&job.Spec)
		err := shared.client.Patch(t.Context(), job, client.MergeFrom(before))
		if err == nil {
			t.Fatalf("%s was changed", name)
		}
		wantWords(t, "the refusal", err.Error(), name+" can't change once the job exists: create another WorkspaceJob, or delete this one and create it again")
	}
}

// TestUnusableDatabaseIsReportedAndNothingRuns checks that a workspace with a database that
// can't be used reports why, and that none of its jobs run.
func TestUnusableDatabaseIsReportedAndNothingRuns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		prepare func(*tenant)
		reason  string
		words   []string
	}{
		{"secret-missing", func(*tenant) {}, v1alpha1.ReasonMigrationPending, []string{secretName, "not found"}},
		{"secret-no-key", func(tn *tenant) {
			tn.giveSecretData(map[string]string{"uri": tn.url})
		}, v1alpha1.ReasonMigrationPending, []string{secretKey, secretName}},
		{"secret-bad-url", func(tn *tenant) {
			tn.giveSecret("host=db user=acme password=" + secretOf(tn))
		}, v1alpha1.ReasonDatabaseRefused, []string{"is not a PostgreSQL URL", "postgres://role:password@host:5432/database"}},
		{"port-closed", func(tn *tenant) {
			tn.giveSecret(withHost(tn, net.JoinHostPort(shared.host, closedPort(tn.t))))
		}, v1alpha1.ReasonMigrationFailed, []string{"cannot connect to PostgreSQL at " + shared.host, "connection refused"}},
		{"wrong-password", func(tn *tenant) {
			tn.giveSecret(withPassword(tn, "not-"+secretOf(tn)))
		}, v1alpha1.ReasonMigrationFailed, []string{"password authentication failed", "(28P01)"}},
		{"schema-taken", func(tn *tenant) {
			for _, table := range []string{"job", "jobqueue", "schema", "server", "state"} {
				tn.exec(`CREATE TABLE hangfire.` + table + ` (id bigint)`)
			}
			tn.giveSecret(tn.url)
		}, v1alpha1.ReasonDatabaseRefused, []string{"hangfire", "database.schema"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tn := newDatabase(t, test.name)
			tn.adoptable()
			test.prepare(tn)
			tn.start(tn.makeSQL("add", insertEffect)) // before the quota exists, which refuses jobs at first
			tn.create()
			condition := tn.waitCondition(v1alpha1.ConditionDatabaseReady, func(c metav1.Condition) bool { return c.Reason == test.reason })
			wantWords(t, "the condition", condition.Message, test.words...)
			tn.waitJob("add", "waits for its workspace", func(job *v1alpha1.WorkspaceJob) bool {
				return readyOf(job).Reason == v1alpha1.ReasonWorkspaceNotReady && job.Status.State == v1alpha1.StateEnqueued
			})
			tn.wantNothingRun("add")
		})
	}
}

func withHost(tn *tenant, host string) string {
	tn.t.Helper()
	u := tn.parsed()
	u.Host = host
	return u.String()
}

func withPassword(tn *tenant, password string) string {
	tn.t.Helper()
	u := tn.parsed()
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

func secretOf(tn *tenant) string {
	tn.t.Helper()
	password, _ := tn.parsed().User.Password()
	return password
}

func (tn *tenant) parsed() *url.URL {
	tn.t.Helper()
	u, err := url.Parse(tn.url)
	if err != nil {
		tn.t.Fatal(err)
	}
	return u
}

// closedPort returns a port of the host on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(shared.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}
