package browser

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// tabLimit is how long a test may keep a tab open.
const tabLimit = 4 * testenv.PollLimit

// Tab is a tab of a browser, with its own cookies. Any error in it fails its test.
type Tab struct {
	t   testing.TB
	url string
	ctx context.Context // chromedp keeps a tab in a context

	mutex  sync.Mutex
	faults []string
}

// Tab opens a tab for the pages below a URL, such as http://127.0.0.1:5000. The test fails
// if a page has an error in a script, violates its content security policy, or lacks a file.
func (b *Browser) Tab(t testing.TB, url string) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, tabLimit)
	tab := &Tab{t: t, url: url, ctx: limited}
	messages := chromedp.Console(limited)
	var listening sync.WaitGroup
	listening.Go(func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			tab.check(message)
		}
	})
	t.Cleanup(func() {
		cancel()
		closeTab()
		listening.Wait()
		for _, fault := range tab.faults {
			t.Errorf("in the browser's console: %s", fault)
		}
	})
	return tab
}

// check records a message of the console that is a fault of the page.
func (tab *Tab) check(message chromedp.ConsoleMessage) {
	switch message.Type {
	case chromedp.ConsoleWarning, chromedp.ConsoleError, chromedp.ConsoleException:
	default:
		return
	}
	// htmx reports a request that a newer one replaces, or a new page interrupts, as an error of these
	// two names. A request that fails has names of its own: htmx:sendError, htmx:timeout.
	if strings.HasPrefix(message.Text, "htmx:sendAbort") || strings.HasPrefix(message.Text, "htmx:afterRequest") {
		return
	}
	// Tests request pages that answer with an error. A static file that is missing is a fault.
	if strings.Contains(message.Text, "the server responded with a status of 4") && !strings.Contains(message.URL, "/static/") {
		return
	}
	tab.mutex.Lock()
	defer tab.mutex.Unlock()
	tab.faults = append(tab.faults, fmt.Sprintf("%s: %s %s", message.Type, message.Text, message.URL))
}

func (tab *Tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, actions...); err != nil {
		tab.t.Fatal(err)
	}
}

// Eval returns the value of a script in the page. It waits for the value of a promise.
func Eval[T any](tab *Tab, script string) T {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// Do runs a script in the page.
func (tab *Tab) Do(script string) {
	tab.t.Helper()
	Eval[chromedp.Void](tab, script)
}

// Open opens a page by its path.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	tab.do(chromedp.Navigate(tab.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// Fetch fetches a path as the page's own scripts would, and returns the text of the answer.
func (tab *Tab) Fetch(path string) string {
	tab.t.Helper()
	return Eval[string](tab, "fetch("+strconv.Quote(path)+").then((answer) => answer.text())")
}

// Press clicks a button or a link, and waits for the page that it leads to.
func (tab *Tab) Press(selector string) {
	tab.t.Helper()
	tab.until(selector)
	if _, err := chromedp.RunResponse(tab.ctx, chromedp.Evaluate[chromedp.Void](element(selector)+".click()")); err != nil {
		tab.t.Fatalf("press %s: %v", selector, err)
	}
}

// Click clicks an element that does not lead to another page.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.until(selector)
	tab.Do(element(selector) + ".click()")
}

// until waits until an element is visible. It uses a script, since the library's own way
// remembers a node, which lists replace when they are redrawn.
func (tab *Tab) until(selector string) {
	tab.t.Helper()
	script := "((e) => e !== null && e.checkVisibility())(" + element(selector) + ")"
	testenv.Eventually(tab.t, selector+" is visible", func(context.Context) error {
		visible, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](script))
		if err == nil && !visible {
			err = errNotVisible
		}
		return err
	})
}

var errNotVisible = errors.New("it does not exist or is hidden")

// Fill sets the value of a field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.until(selector)
	tab.do(chromedp.SetValue(chromedp.CSS(selector), text))
}

// Type types on the keyboard, where the focus is.
func (tab *Tab) Type(keys string) {
	tab.t.Helper()
	tab.do(chromedp.KeyEvent(keys))
}

func element(selector string) string {
	return "document.querySelector(" + strconv.Quote(selector) + ")"
}

// See waits until the first element of a selector is visible and contains the text.
func (tab *Tab) See(selector, text string) {
	tab.t.Helper()
	script := "((e) => e && e.checkVisibility() ? e.textContent : '(it does not exist or is hidden)')(" + element(selector) + ")"
	testenv.Eventually(tab.t, fmt.Sprintf("%s contains %q", selector, text), func(context.Context) error {
		got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](script))
		if err == nil && !strings.Contains(got, text) {
			err = fmt.Errorf("its text is %.600q", strings.Join(strings.Fields(got), " "))
		}
		return err
	})
}

// Has reports whether an element exists.
func (tab *Tab) Has(selector string) bool {
	tab.t.Helper()
	return Eval[bool](tab, element(selector)+" !== null")
}

// HTML returns the page's current HTML.
func (tab *Tab) HTML() string {
	tab.t.Helper()
	return Eval[string](tab, "document.documentElement.outerHTML")
}

// Mark marks the page, for [Tab.Marked].
func (tab *Tab) Mark() { tab.Do("window.marked = true") }

// Marked reports whether the page is still the one that was marked, without a reload.
func (tab *Tab) Marked() bool { return Eval[bool](tab, "window.marked === true") }

// SignIn signs in to the dashboard with a token.
func (tab *Tab) SignIn(token string) {
	tab.t.Helper()
	tab.Open("/hangfire")
	tab.Fill("#token", token)
	tab.Press("form.stack button")
}
