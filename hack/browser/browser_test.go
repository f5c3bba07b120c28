package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/testenv"
)

func TestAJobIsWatchedToItsEnd(t *testing.T) {
	l := newLab(t)
	b := l.as(t, "editor")
	l.run(t, "watched", testenv.Part{Wait: true, Hold: true, Log: "it begins\n", Result: json.RawMessage(`{"rows":7}`)})
	b.open("/hangfire/acme/jobs/watched")
	b.see(".head .state", "Enqueued")
	b.mark()
	l.node.Start("watched")
	b.see(".head .state", "Processing")
	b.see("[data-log]", "it begins")
	if err := l.node.Say(t.Context(), "workspace-acme", "watched", "<b>and goes on</b>\n"); err != nil {
		t.Fatal(err)
	}
	b.see("[data-log]", "<b>and goes on</b>")
	l.node.Release("watched")
	b.see(".head .state", "Succeeded")
	b.see("main", `"rows": 7`)
	b.see("[role=status][sse-swap]", "succeeded")
	if !b.marked() {
		t.Error("the page was loaded anew")
	}
	if !b.has("#requeue") || b.has("#cancel") {
		t.Error("its buttons are those of a job that runs")
	}
}

func TestAFailedJobIsRequeued(t *testing.T) {
	l := newLab(t)
	l.run(t, "again", testenv.Part{Exit: 65, Error: "no such table"})
	l.until(t, "again", v1alpha1.StateFailed)
	b := l.as(t, "editor")
	b.open("/hangfire/acme/jobs/again")
	b.see("main", "no such table")
	b.press("#requeue")
	b.see(".notice", "The job was requeued.")
	b.see("main", "run 2")
	b.see(".head .state", "Failed")
}

func TestManyAreDeleted(t *testing.T) {
	l := newLab(t)
	for i := range 7 {
		l.run(t, fmt.Sprintf("mass-%d", i), testenv.Part{}, client.WithConcurrencyKey("mass"))
	}
	for i := range 7 {
		l.until(t, fmt.Sprintf("mass-%d", i), v1alpha1.StateSucceeded)
	}
	b := l.as(t, "editor")
	b.open("/hangfire/acme/jobs?key=mass")
	b.see("main", "mass-6")
	b.do(chromedp.Click(chromedp.CSS("#select-mass-3")))
	b.see("[data-selected]", "1 selected")
	b.mark()
	// What is selected stays so when the list is drawn again.
	l.run(t, "mass-7", testenv.Part{}, client.WithConcurrencyKey("mass"))
	b.see("main", "mass-7")
	checked := eval[bool](b, `document.querySelector("#select-mass-3").checked`)
	if !checked || !b.marked() {
		t.Errorf("selected: %t, the same page: %t", checked, b.marked())
	}
	l.until(t, "mass-7", v1alpha1.StateSucceeded)
	b.do(chromedp.Click(chromedp.CSS("#select-all")))
	b.see("[data-selected]", "8 selected")
	b.press("#delete-selected")
	b.see("main", "Delete 8 jobs?")
	b.picture("confirm")
	b.press("button.danger")
	b.see(".notice", "8 jobs were deleted.")
	testenv.Eventually(t, "they are gone", func(ctx context.Context) error {
		for i := range 8 {
			if _, err := l.acme.Get(ctx, fmt.Sprintf("mass-%d", i)); !apierrors.IsNotFound(err) {
				return fmt.Errorf("mass-%d: %w", i, err)
			}
		}
		return nil
	})
}

func TestARecurringJob(t *testing.T) {
	l := newLab(t)
	if _, err := l.acme.AddOrUpdateRecurring(t.Context(), "nightly-cleanup", "play", testenv.Part{}, "H 2 * * *", client.InTimeZone("Asia/Kolkata")); err != nil {
		t.Fatal(err)
	}
	b := l.as(t, "editor")
	b.open("/hangfire/acme/recurring/nightly-cleanup")
	b.see(".head .state", "In place")
	// The next runs follow what is typed.
	b.mark()
	eval[chromedp.Void](b, `document.querySelector("#schedule").select()`)
	b.do(chromedp.KeyEvent("30 4 * * 1-5"))
	b.see("#preview", "04:30 IST")
	b.do(chromedp.KeyEvent(" x"))
	b.see("#preview", "schedule ")
	b.do(chromedp.KeyEvent("\b\b"))
	b.see("#preview", "04:30 IST")
	if !b.marked() {
		t.Error("the page was loaded anew")
	}
	b.press("#save")
	b.see(".notice", "The schedule was changed.")
	b.see("dl", "30 4 * * 1-5")
	b.press("#pause")
	b.see(".head .state", "Paused")
	b.press("#trigger")
	b.see(".notice", "triggered")
	b.see(".head .state", "Succeeded")
	b.open("/hangfire/acme/recurring/nightly-cleanup")
	b.see("table", "Succeeded")
	b.picture("recurring-job")
	b.press("#resume")
	b.see(".head .state", "In place")
	b.open("/hangfire/acme/recurring")
	b.see("table", "nightly-cleanup")
	b.picture("recurring")
	b.open("/hangfire/acme/recurring/nightly-cleanup")
	b.press("#remove")
	b.see("main", "Remove the recurring job nightly-cleanup?")
	b.press("button.danger")
	b.see(".notice", "The recurring job was removed.")
}

func TestSigningInAndOut(t *testing.T) {
	l := newLab(t)
	good := l.token(t, "editor")
	expired, err := l.env.ExpiredToken(good)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := testenv.ForeignToken(good)
	if err != nil {
		t.Fatal(err)
	}
	b := l.tab(t)
	b.open("/hangfire/acme/jobs")
	b.picture("sign-in")
	for _, token := range []string{"let-me-in", expired, foreign} {
		b.signIn(token)
		b.see("[role=alert]", "The cluster does not take this token")
	}
	b.picture("sign-in-refused")
	b.signIn(good)
	b.see("h1", "Overview")
	// Another page of the session is told that it is over.
	b.press("form.out button")
	b.see(".notice", "You have signed out.")
	b.open("/hangfire/acme")
	b.see("h1", "Sign in")
}

func TestAnOpenPageIsToldThatTheSessionHasEnded(t *testing.T) {
	l := newLab(t)
	b := l.as(t, "editor")
	b.open("/hangfire/acme/retries")
	eval[chromedp.Void](b, `fetch("/hangfire/-/sign-out", {method: "POST", redirect: "manual", body: new URLSearchParams({antiforgery: document.querySelector("form.out [name=antiforgery]").value})}).then(() => 1)`)
	b.see(".warning:not(#connection)", "Your session has ended.")
}

func TestAViewerSeesNoButtons(t *testing.T) {
	l := newLab(t)
	l.run(t, "only-seen", testenv.Part{Exit: 65})
	l.until(t, "only-seen", v1alpha1.StateFailed)
	b := l.as(t, "viewer")
	for _, path := range []string{"/jobs", "/jobs/only-seen", "/recurring", "/retries"} {
		b.open("/hangfire/acme" + path)
		for _, selector := range []string{"main button", "main input[type=checkbox]", "main form"} {
			if b.has(selector) {
				t.Errorf("%s has a %s", path, selector)
			}
		}
	}
	b.open("/hangfire/acme/jobs/only-seen")
	b.picture("job-viewer")
}

func TestTheKeyboardIsEnough(t *testing.T) {
	l := newLab(t)
	l.run(t, "by-keyboard", testenv.Part{Exit: 65}, client.WithConcurrencyKey("keyboard"))
	l.until(t, "by-keyboard", v1alpha1.StateFailed)
	b := l.as(t, "editor")
	b.open("/hangfire/acme/jobs?key=keyboard")
	b.do(chromedp.KeyEvent("\t"))
	if focused := eval[string](b, "document.activeElement.className"); focused != "skip" {
		t.Errorf("the first stop is %q, not the way to the content", focused)
	}
	const focus = "document.activeElement.id"
	focused := ""
	for range 60 {
		b.do(chromedp.KeyEvent("\t"))
		if focused = eval[string](b, focus); focused == "open-by-keyboard" {
			break
		}
	}
	outlined := eval[string](b, "getComputedStyle(document.activeElement).outlineStyle")
	if focused != "open-by-keyboard" || outlined != "solid" {
		t.Fatalf("the focus is on %q, outline %s", focused, outlined)
	}
	// It stays there when the list is drawn again.
	l.run(t, "by-keyboard-2", testenv.Part{}, client.WithConcurrencyKey("keyboard"))
	b.see("main", "by-keyboard-2")
	if focused := eval[string](b, focus); focused != "open-by-keyboard" {
		t.Errorf("the focus went to %q", focused)
	}
	b.do(chromedp.KeyEvent("\r"))
	b.see("h1", "by-keyboard")
}

// history of a week, for pictures.
func history() []v1alpha1.HourCount {
	var hours []v1alpha1.HourCount
	now := time.Now().UTC().Truncate(time.Hour)
	for i := 160; i >= 0; i-- {
		n := int32((i*37+11)%23) + 3
		hours = append(hours, v1alpha1.HourCount{Hour: metav1.NewTime(now.Add(-time.Duration(i) * time.Hour)), Succeeded: n, Failed: n / 9})
	}
	return hours
}

func TestHowPagesLook(t *testing.T) {
	l := newLab(t)
	l.run(t, "report-monthly-7xk2p", testenv.Part{Exit: 1, Error: "dial tcp 192.0.2.10:5432: connect: connection refused"})
	l.run(t, "close-stale-sessions", testenv.Part{Result: json.RawMessage(`{"rows":1284,"tables":["radacct"]}`), Log: "{\"time\":\"2026-03-01T02:17:00Z\",\"level\":\"INFO\",\"msg\":\"deleted\",\"rows\":1284}\n"})
	l.run(t, "a-long-name-of-a-job-that-is-as-long-as-a-name-may-be-58ch", testenv.Part{Exit: 65, Error: "relation \"radacct_archive\" does not exist: SELECT * FROM radacct_archive_of_the_year_before_last_which_has_a_long_name"}, client.After("close-stale-sessions"))
	l.run(t, "backfill-2026-02", testenv.Part{Hold: true, Log: "begins\n"})
	if _, err := l.acme.Schedule(t.Context(), "report", nil, time.Hour, client.WithName("report-of-tomorrow")); err != nil {
		t.Fatal(err)
	}
	l.until(t, "backfill-2026-02", v1alpha1.StateProcessing)
	l.until(t, "a-long-name-of-a-job-that-is-as-long-as-a-name-may-be-58ch", v1alpha1.StateFailed)
	l.until(t, "report-monthly-7xk2p", v1alpha1.StateScheduled)
	b := l.as(t, "editor")
	for name, path := range map[string]string{
		"jobs": "/jobs", "jobs-failed": "/jobs?state=Failed", "job-succeeded": "/jobs/close-stale-sessions", "job-running": "/jobs/backfill-2026-02",
		"job-failed": "/jobs/a-long-name-of-a-job-that-is-as-long-as-a-name-may-be-58ch", "job-retried": "/jobs/report-monthly-7xk2p",
		"retries": "/retries", "pods": "/pods", "not-found": "/jobs/no-such", "jobs-none": "/jobs?handler=none",
	} {
		b.open("/hangfire/acme" + path)
		b.picture(name)
	}
	operator, err := ctrlclient.New(l.env.As(testenv.ManagerUser, "system:serviceaccounts", "system:authenticated"), ctrlclient.Options{Scheme: l.env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	var ws v1alpha1.Workspace
	testenv.Eventually(t, "the history is there", func(ctx context.Context) error {
		if err := l.env.Client.Get(ctx, ctrlclient.ObjectKey{Name: "acme"}, &ws); err != nil {
			return err
		}
		before := ws.DeepCopy()
		ws.Status.History = history()
		return operator.Status().Patch(ctx, &ws, ctrlclient.MergeFrom(before))
	})
	b.open("/hangfire/acme")
	b.picture("overview")
	l.node.Release("backfill-2026-02")

	if err := l.env.MakeAccount(t.Context(), "workspace-acme", "newcomer"); err != nil {
		t.Fatal(err)
	}
	n := l.tab(t)
	n.signIn(l.token(t, "newcomer"))
	n.see("main", "no workspace that you may see")
	n.picture("home-none")
}
