package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/browser"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// dashboard is a tenant's dashboard, as its members use it.
type dashboard struct {
	tn             *tenant
	url            string
	editor, viewer string
}

func (d dashboard) as(t *testing.T, token string) *browser.Tab {
	t.Helper()
	return signedIn(t, d.url, token)
}

// TestTheDashboardInABrowser does everything that users do in the dashboard, on the real
// cluster.
func TestTheDashboardInABrowser(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "dash-own", withAccount("editor"), withViewer("viewer"))
	d := dashboard{tn: tn, url: forward(t), editor: tn.token("editor"), viewer: tn.token("viewer")}
	for name, part := range map[string]func(*testing.T, dashboard){
		"a job is watched to its end":   watchAJob,
		"a failed job is requeued":      requeueAFailedJob,
		"many are deleted":              deleteMany,
		"a recurring job":               useARecurringJob,
		"signing in and out":            signInAndOut,
		"the end of a session is shown": endASession,
		"a viewer sees no buttons":      lookAsViewer,
		"the keyboard is enough":        useTheKeyboard,
		"a search":                      search,
		"the border of another tenant":  checkTheBorder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(t, dashboard{d.tn.in(t), d.url, d.editor, d.viewer})
		})
	}
}

// watchAJob watches a job from the queue to its end, with its log, without reloading the page.
func watchAJob(t *testing.T, d dashboard) {
	barrier := d.tn.closeBarrier()
	d.tn.start(d.tn.makeSQL("before", passBarrier).ConcurrencyKey("watched"))
	barrier.waitFor(1)
	d.tn.start(d.tn.makeSQL("watched", "SELECT 'begun'", passBarrier, insertEffect).ConcurrencyKey("watched"))
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/jobs/watched")
	b.See(".head .state", "Enqueued")
	b.See("#log", "No attempt has begun")
	b.Mark()
	d.tn.change("before", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	b.See(".head .state", "Processing")
	b.See("[data-log]", `"statement":1`)
	b.See("[role=status][sse-swap]", "processing")
	barrier.waitFor(1)
	barrier.lift()
	b.See(".head .state", "Succeeded")
	b.See("[data-log]", `"msg":"succeeded"`)
	b.See("[aria-label=Result]", `"rows": 3`)
	b.See("[role=status][sse-swap]", "succeeded")
	if !b.Marked() {
		t.Error("the page was loaded again")
	}
	if !b.Has("#requeue") || b.Has("#cancel") {
		t.Error("its buttons are those of a job that runs")
	}
	d.tn.wantEffects(1)
	// A log that has ended is shown as it is.
	b.Open("/hangfire/dash-own/jobs/watched")
	b.See("[data-log]", `"msg":"succeeded"`)
}

// requeueAFailedJob requeues a failed job once what it needs exists.
func requeueAFailedJob(t *testing.T, d dashboard) {
	d.tn.start(d.tn.makeSQL("again", "INSERT INTO made_later DEFAULT VALUES").Retries(0, time.Second))
	d.tn.waitFinal("again", v1alpha1.StateFailed)
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/jobs/again")
	b.See("td.error", `relation "made_later" does not exist`)
	d.tn.exec("CREATE TABLE made_later (at timestamptz NOT NULL DEFAULT now())")
	b.Press("#requeue")
	b.See(".notice", "The job was requeued.")
	b.See("main", "run 2")
	b.See(".head .state", "Succeeded")
	if n := d.tn.count("SELECT count(*) FROM made_later"); n != 1 {
		t.Errorf("it took effect %d times", n)
	}
}

func deleteMany(t *testing.T, d dashboard) {
	for i := range 7 {
		d.tn.start(d.tn.makeSQL(fmt.Sprintf("mass-%d", i), "SELECT 1").ConcurrencyKey("mass"))
	}
	for i := range 7 {
		d.tn.waitFinal(fmt.Sprintf("mass-%d", i), v1alpha1.StateSucceeded)
	}
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/jobs?key=mass")
	b.See("main", "mass-6")
	b.Click("#select-mass-3")
	b.See("[data-selected]", "1 selected")
	b.Mark()
	// What is selected stays so when the list is drawn again.
	d.tn.start(d.tn.makeSQL("mass-7", "SELECT 1").ConcurrencyKey("mass"))
	b.See("main", "mass-7")
	checked := browser.Eval[bool](b, `document.querySelector("#select-mass-3").checked`)
	if !checked || !b.Marked() {
		t.Errorf("selected: %t, the same page: %t", checked, b.Marked())
	}
	d.tn.waitFinal("mass-7", v1alpha1.StateSucceeded)
	b.Click("#select-all")
	b.See("[data-selected]", "8 selected")
	b.Press("#delete-selected")
	b.See("main", "Delete 8 jobs?")
	picture(b, "confirm")
	b.Press("button.danger")
	b.See(".notice", "8 jobs were deleted.")
	testenv.Eventually(t, "they are gone", func(ctx context.Context) error {
		for i := range 8 {
			if _, err := d.tn.job(ctx, fmt.Sprintf("mass-%d", i)); wantNotFound(err) != nil {
				return fmt.Errorf("mass-%d: %w", i, wantNotFound(err))
			}
		}
		return nil
	})
}

// useARecurringJob changes a schedule with a preview of its next runs, and pauses, triggers,
// resumes and removes it.
func useARecurringJob(t *testing.T, d dashboard) {
	d.tn.exec("CREATE TABLE triggered (at timestamptz NOT NULL DEFAULT now())")
	nightly := d.tn.makeRecurring("nightly-cleanup", "H 2 * * *", "INSERT INTO triggered DEFAULT VALUES")
	nightly.Spec.TimeZone = "Asia/Kolkata"
	if err := shared.client.Create(t.Context(), nightly); err != nil {
		t.Fatal(err)
	}
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/recurring/nightly-cleanup")
	b.See(".head .state", "Active")
	// The next runs follow what is typed.
	b.Mark()
	b.Do(`document.querySelector("#schedule").select()`)
	b.Type("30 4 * * 1-5")
	b.See("#preview", "04:30 IST")
	b.Type(" x")
	b.See("#preview", "schedule ")
	b.Type("\b\b")
	b.See("#preview", "04:30 IST")
	if !b.Marked() {
		t.Error("the page was loaded again")
	}
	b.Press("#save")
	b.See(".notice", "The schedule was changed.")
	b.See("dl", "30 4 * * 1-5")
	b.Press("#pause")
	b.See(".head .state", "Paused")
	d.tn.wantCronJob("nightly-cleanup", "30 4 * * 1-5", true)
	b.Press("#trigger")
	b.See(".notice", "triggered")
	b.See(".head .state", "Succeeded")
	if n := d.tn.count("SELECT count(*) FROM triggered"); n != 1 {
		t.Errorf("it has run %d times", n)
	}
	b.Open("/hangfire/dash-own/recurring/nightly-cleanup")
	b.See("table", "Succeeded")
	picture(b, "recurring-job")
	b.Press("#resume")
	b.See(".head .state", "Active")
	d.tn.wantCronJob("nightly-cleanup", "30 4 * * 1-5", false)
	b.Open("/hangfire/dash-own/recurring")
	b.See("table", "nightly-cleanup")
	picture(b, "recurring")
	b.Open("/hangfire/dash-own/recurring/nightly-cleanup")
	b.Press("#remove")
	b.See("main", "Remove the recurring job nightly-cleanup?")
	b.Press("button.danger")
	b.See(".notice", "The recurring job was removed.")
	testenv.Eventually(t, "it is gone", func(ctx context.Context) error {
		return wantNotFound(shared.client.Get(ctx, keyOf(nightly), &v1alpha1.WorkspaceRecurringJob{}))
	})
}

// wantCronJob waits until the CronJob has a schedule, and is suspended or not.
func (tn *tenant) wantCronJob(name, schedule string, suspended bool) {
	tn.t.Helper()
	testenv.Eventually(tn.t, "the CronJob "+name, func(ctx context.Context) error {
		found, err := shared.clientset.BatchV1().CronJobs(tn.namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && (found.Spec.Schedule != schedule || *found.Spec.Suspend != suspended) {
			err = fmt.Errorf("it is %q, suspended: %t", found.Spec.Schedule, *found.Spec.Suspend)
		}
		return err
	})
}

func signInAndOut(t *testing.T, d dashboard) {
	expired, err := testenv.ExpiredToken(shared.kubeconfig, d.editor)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := testenv.ForeignToken(d.editor)
	if err != nil {
		t.Fatal(err)
	}
	b := tab(t, d.url)
	b.Open("/hangfire/dash-own/jobs")
	picture(b, "sign-in")
	for _, token := range []string{"let-me-in", expired, foreign} {
		b.SignIn(token)
		b.See("[role=alert]", "The cluster does not accept this token")
	}
	picture(b, "sign-in-refused")
	b.SignIn(d.editor)
	b.See("h1", "Overview")
	b.Press("form.out button")
	b.See(".notice", "You have signed out.")
	for _, path := range []string{"/hangfire/dash-own", "/hangfire/dash-own/jobs/watched"} {
		b.Open(path)
		b.See("h1", "Sign in")
	}
}

func endASession(t *testing.T, d dashboard) {
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/retries")
	b.Do(`fetch("/hangfire/-/sign-out", {method: "POST", redirect: "manual", body: new URLSearchParams({antiforgery: document.querySelector("form.out [name=antiforgery]").value})}).then(() => 1)`)
	b.See(".warning:not(#connection)", "Your session has ended.")
}

func lookAsViewer(t *testing.T, d dashboard) {
	d.tn.start(d.tn.makeSQL("only-seen", "SELECT 1/0").Retries(0, time.Second))
	if err := shared.client.Create(t.Context(), d.tn.makeRecurring("only-seen", "@yearly", "SELECT 1")); err != nil {
		t.Fatal(err)
	}
	d.tn.waitFinal("only-seen", v1alpha1.StateFailed)
	b := d.as(t, d.viewer)
	for _, path := range []string{"", "/jobs", "/jobs/only-seen", "/recurring", "/recurring/only-seen", "/retries", "/pods"} {
		b.Open("/hangfire/dash-own" + path)
		for _, selector := range []string{"main button", "main input", "main form"} {
			if b.Has(selector) {
				t.Errorf("%s has a %s", path, selector)
			}
		}
	}
	b.Open("/hangfire/dash-own/jobs/only-seen")
	b.See("[data-log]", "division by zero")
	picture(b, "job-viewer")
}

func useTheKeyboard(t *testing.T, d dashboard) {
	d.tn.start(d.tn.makeSQL("by-keyboard", "SELECT 1").ConcurrencyKey("keyboard"))
	d.tn.waitFinal("by-keyboard", v1alpha1.StateSucceeded)
	b := d.as(t, d.editor)
	b.Open("/hangfire/dash-own/jobs?key=keyboard")
	b.Type("\t")
	if focused := browser.Eval[string](b, "document.activeElement.className"); focused != "skip" {
		t.Errorf("the first stop is %q, not the way to the content", focused)
	}
	const focus = "document.activeElement.id"
	focused := ""
	for range 60 {
		b.Type("\t")
		if focused = browser.Eval[string](b, focus); focused == "open-by-keyboard" {
			break
		}
	}
	outlined := browser.Eval[string](b, "getComputedStyle(document.activeElement).outlineStyle")
	if focused != "open-by-keyboard" || outlined != "solid" {
		t.Fatalf("the focus is on %q, outline %s", focused, outlined)
	}
	// It stays there when the list is drawn again.
	d.tn.start(d.tn.makeSQL("by-keyboard-2", "SELECT 1").ConcurrencyKey("keyboard"))
	b.See("main", "by-keyboard-2")
	if focused := browser.Eval[string](b, focus); focused != "open-by-keyboard" {
		t.Errorf("the focus went to %q", focused)
	}
	b.Type("\r")
	b.See("h1", "by-keyboard")
}

// search searches by name, part of a name, handler and key.
func search(t *testing.T, d dashboard) {
	d.tn.start(d.tn.makeSQL("searched-for", "SELECT 1").ConcurrencyKey("search/1"))
	d.tn.waitFinal("searched-for", v1alpha1.StateSucceeded)
	b := d.as(t, d.editor)
	for _, asked := range []struct{ by, text, heading string }{
		{"name", "searched-for", "searched-for"}, {"name", "ARCHED", "Search"}, {"handler", "sql", "Jobs"}, {"key", "search/1", "Jobs"},
	} {
		b.Open("/hangfire/dash-own/jobs?state=Deleted")
		b.Fill("#by", asked.by)
		b.Fill("#q", asked.text)
		b.Press("form.search button")
		b.See("h1", asked.heading)
		b.See("main", "searched-for")
	}
	b.Open("/hangfire/dash-own/search?by=name&q=arched-for")
	picture(b, "search")
	b.Click("#select-searched-for")
	b.See("[data-selected]", "1 selected")
	b.Press("#requeue-selected")
	b.See(".notice", "The job was requeued.")
	d.tn.waitJob("searched-for", "it runs again", func(job *v1alpha1.WorkspaceJob) bool { return job.Status.Run == 2 && job.Status.State.Final() })
	b.Open("/hangfire/dash-own/search?by=name&q=never-seen")
	b.See("main", "here has")
	picture(b, "search-none")
}
