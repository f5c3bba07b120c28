package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const longName = "a-long-name-of-a-job-that-is-as-long-as-a-name-may-be-58ch"

// TestHowPagesLook takes screenshots of all pages with content, and switches between two
// workspaces as a member of both.
func TestHowPagesLook(t *testing.T) {
	t.Parallel()
	tn := newTenant(t, "fibre", withAccount("editor"))
	newTenant(t, "fibre-lab", withMember(v1alpha1.RoleViewer, tn.namespace, "editor"))
	tn.exec("CREATE TABLE radacct (id bigserial PRIMARY KEY, acctstoptime timestamptz)")
	tn.exec("INSERT INTO radacct (acctstoptime) SELECT now() - interval '400 days' FROM generate_series(1, 1284)")
	barrier := tn.closeBarrier()
	tn.start(tn.makeJob("close-stale-sessions", "data-cleanup").ArgsOf(map[string]any{"table": "radacct", "column": "acctstoptime", "olderThan": "365d"}))
	tn.start(tn.makeSQL(longName, "SELECT * FROM radacct_archive_of_the_year_before_last").Retries(0, time.Second).After("close-stale-sessions"))
	tn.start(tn.makeSQL("backfill-2026-02", "SELECT 'begun'", passBarrier))
	tn.start(tn.makeSQL("report-of-tomorrow", "SELECT 1").Delay(24 * time.Hour))
	retried := tn.start(tn.makeSQL("report-monthly-7xk2p", "SELECT 1/0").Retries(5, time.Hour))
	barrier.waitFor(1)
	tn.waitFinal(longName, v1alpha1.StateFailed)
	tn.waitState(retried.Name, v1alpha1.StateScheduled)
	tn.makeHistory()

	token := tn.token("editor")
	url := forward(t)
	b := tab(t, url)
	b.SignIn(token)
	b.See("h1", "Workspaces")
	picture(b, "home")
	b.Open("/hangfire/fibre")
	b.See(".tiles", "Succeeded")
	picture(b, "overview")
	for name, path := range map[string]string{
		"jobs": "/jobs", "jobs-failed": "/jobs?state=Failed", "job-succeeded": "/jobs/close-stale-sessions", "job-running": "/jobs/backfill-2026-02",
		"job-failed": "/jobs/" + longName, "job-retried": "/jobs/report-monthly-7xk2p",
		"retries": "/retries", "pods": "/pods", "not-found": "/jobs/no-such", "jobs-none": "/jobs?handler=none",
	} {
		b.Open("/hangfire/fibre" + path)
		if name == "job-running" {
			b.See("[data-log]", "attempt started")
		}
		picture(b, name)
	}
	barrier.lift()
	tn.waitFinal("backfill-2026-02", v1alpha1.StateSucceeded)

	b.Open("/hangfire/fibre")
	b.Fill("#workspace", "fibre-lab")
	b.Press("form.switch button")
	b.See("main", "no job in this workspace yet")
	picture(b, "overview-empty")
	for name, path := range map[string]string{"recurring-empty": "/recurring", "retries-empty": "/retries", "pods-empty": "/pods"} {
		b.Open("/hangfire/fibre-lab" + path)
		picture(b, name)
	}

	newcomer := tab(t, url)
	newcomer.SignIn(tn.token("newcomer"))
	newcomer.See("main", "no workspace that you may see")
	picture(newcomer, "home-none")
	if status, text := (caller{t, url, token}).ask(http.MethodGet, "/api/workspaces", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
}

// makeHistory writes a week's history as the operator would have written it.
func (tn *tenant) makeHistory() {
	tn.t.Helper()
	operator := asUser(tn.t, operatorUser, "system:serviceaccounts", "system:authenticated")
	now := time.Now().UTC().Truncate(time.Hour)
	var hours []v1alpha1.HourCount
	for i := 160; i > 0; i-- {
		n := int32((i*37+11)%23) + 3
		hours = append(hours, v1alpha1.HourCount{Hour: metav1.NewTime(now.Add(-time.Duration(i) * time.Hour)), Succeeded: n, Failed: n / 9})
	}
	testenv.Eventually(tn.t, "the history is there", func(ctx context.Context) error {
		ws, err := tn.get(ctx)
		if err != nil {
			return err
		}
		before := ws.DeepCopy()
		ws.Status.History = hours
		return operator.Status().Patch(ctx, ws, client.MergeFrom(before))
	})
}
