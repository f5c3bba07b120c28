package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/openradius/workspace-jobs/hack/browser"
)

// page is a tab of a real browser on the dashboard.
type page struct {
	t   *testing.T
	ctx context.Context
	url string
}

func openBrowser(t *testing.T, url string) page {
	t.Helper()
	path, err := browser.Chromium(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(pollLimit))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocated)
	t.Cleanup(func() { closeBrowser(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return page{t, ctx, url}
}

func (p page) open(path string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(p.url+path), chromedp.WaitReady(chromedp.CSS("main"))); err != nil {
		p.t.Fatal(err)
	}
}

func (p page) press(selector string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector))); err != nil {
		p.t.Fatalf("press %s: %v", selector, err)
	}
}

func (p page) signIn(token string) {
	p.t.Helper()
	p.open("/hangfire")
	if err := chromedp.Do(p.ctx, chromedp.SetValue(chromedp.CSS("#token"), token)); err != nil {
		p.t.Fatal(err)
	}
	p.press("form.stack button")
}

// says waits until the element has the text.
func (p page) says(selector, text string) {
	p.t.Helper()
	script := fmt.Sprintf("(document.querySelector(%q)||{textContent:''}).textContent", selector)
	eventually(p.t, fmt.Sprintf("%s says %q", selector, text), func(context.Context) error {
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](script))
		if err == nil && !strings.Contains(got, text) {
			err = fmt.Errorf("it says %.600q", strings.Join(strings.Fields(got), " "))
		}
		return err
	})
}

func (p page) is(script string) bool {
	p.t.Helper()
	yes, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](script))
	if err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
	return yes
}

// TestTheDashboardInABrowser, on the real cluster: a job is watched from the queue to its
// end, with its log, without the page being loaded anew.
func TestTheDashboardInABrowser(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "dash-own", withAccount("app"))
	other := newTenant(t, "dash-other")
	p := openBrowser(t, forward(t))
	p.signIn("no-token")
	p.says("main", "does not take this token")
	p.signIn(tn.token("app"))
	p.says("h1", "Overview")

	barrier := tn.closeBarrier()
	tn.start(tn.makeSQL("watched", passBarrier, insertEffect))
	p.open("/hangfire/dash-own/jobs/watched")
	p.is("window.marked = true")
	p.says(".head .state", "Processing")
	p.says("[data-log]", "attempt started")
	barrier.waitFor(1)
	barrier.lift()
	p.says(".head .state", "Succeeded")
	p.says("[data-log]", `"msg":"succeeded"`)
	if !p.is("window.marked === true") {
		t.Error("the page was loaded anew")
	}
	tn.wantEffects(1)
	p.press("#requeue")
	p.says("main", "run 2")
	p.says(".head .state", "Succeeded")
	// Once for each run, and a log that has ended is shown as it is.
	eventually(t, "it has run twice", func(ctx context.Context) error {
		job, err := tn.job(ctx, "watched")
		if err == nil && (job.Status.Run != 2 || !job.Status.State.Final()) {
			err = fmt.Errorf("%+v", job.Status)
		}
		return err
	})
	tn.wantEffects(2)
	p.open("/hangfire/dash-own/jobs/watched")
	p.says("[data-log]", `"msg":"succeeded"`)

	p.open("/hangfire/" + other.name + "/jobs")
	p.says("main", "no such page")
	if p.is(fmt.Sprintf("document.documentElement.textContent.replaceAll(location.pathname, '').includes(%q)", other.namespace)) {
		t.Error("the page names the other tenant's namespace")
	}
	p.open("/hangfire")
	p.press("form[action$='/-/sign-out'] button")
	p.says("main", "token")
	p.open("/hangfire/dash-own/jobs/watched")
	if p.is("document.documentElement.textContent.includes('attempt 1')") {
		t.Error("who has signed out reads on")
	}
}
