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

// tabLimit is how long a test may have a tab.
const tabLimit = 4 * testenv.PollLimit

// Tab is a browser's tab with cookies of its own. What goes wrong in it fails its test.
type Tab struct {
	t   testing.TB
	url string
	ctx context.Context // chromedp keeps a tab in a context

	mutex  sync.Mutex
	faults []string
}

// Tab for the pages below a URL, such as http://127.0.0.1:5000. The test fails if a page
// has an error of its script, a violation of its policy, or a file that is not there.
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
			tab.heard(message)
		}
	})
	t.Cleanup(func() {
		cancel()
		closeTab()
		listening.Wait()
		for _, fault := range tab.faults {
			t.Errorf("the browser's console: %s", fault)
		}
	})
	return tab
}

// heard what a page must not have.
func (tab *Tab) heard(message chromedp.ConsoleMessage) {
	switch message.Type {
	case chromedp.ConsoleWarning, chromedp.ConsoleError, chromedp.ConsoleException:
	default:
		return
	}
	// A page that says no is what a test asks for; a file of a page's that is not there is a
	// fault.
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

// Eval is what a script in the page gives; a promise's value once it has one.
func Eval[T any](tab *Tab, script string) T {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// Do what a script does.
func (tab *Tab) Do(script string) {
	tab.t.Helper()
	Eval[chromedp.Void](tab, script)
}

// Open a page by its path.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	tab.do(chromedp.Navigate(tab.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// Fetch a path as the page's own scripts would, and return the answer's text.
func (tab *Tab) Fetch(path string) string {
	tab.t.Helper()
	return Eval[string](tab, "fetch("+strconv.Quote(path)+").then((answer) => answer.text())")
}

// Press a button or a link, and wait for the page that it leads to.
func (tab *Tab) Press(selector string) {
	tab.t.Helper()
	tab.until(selector)
	if _, err := chromedp.RunResponse(tab.ctx, chromedp.Evaluate[chromedp.Void](element(selector)+".click()")); err != nil {
		tab.t.Fatalf("press %s: %v", selector, err)
	}
}

// Click what leads to no other page.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.until(selector)
	tab.Do(element(selector) + ".click()")
}

// until there is such an element to be seen. It is asked for by script: the library's own
// way remembers a node, which may be another one by then, for a list draws itself again.
func (tab *Tab) until(selector string) {
	tab.t.Helper()
	script := "((e) => e !== null && e.checkVisibility())(" + element(selector) + ")"
	testenv.Eventually(tab.t, "there is "+selector, func(context.Context) error {
		there, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](script))
		if err == nil && !there {
			err = errNotThere
		}
		return err
	})
}

var errNotThere = errors.New("it is not there, or hidden")

// Fill a field.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.until(selector)
	tab.do(chromedp.SetValue(chromedp.CSS(selector), text))
}

// Type as on a keyboard, where the focus is.
func (tab *Tab) Type(keys string) {
	tab.t.Helper()
	tab.do(chromedp.KeyEvent(keys))
}

func element(selector string) string {
	return "document.querySelector(" + strconv.Quote(selector) + ")"
}

// See waits until the first such element has the text, and is not hidden.
func (tab *Tab) See(selector, text string) {
	tab.t.Helper()
	script := "((e) => e && e.checkVisibility() ? e.textContent : '(it is not there)')(" + element(selector) + ")"
	testenv.Eventually(tab.t, fmt.Sprintf("%s says %q", selector, text), func(context.Context) error {
		got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](script))
		if err == nil && !strings.Contains(got, text) {
			err = fmt.Errorf("it says %.600q", strings.Join(strings.Fields(got), " "))
		}
		return err
	})
}

// Has reports whether there is such an element.
func (tab *Tab) Has(selector string) bool {
	tab.t.Helper()
	return Eval[bool](tab, element(selector)+" !== null")
}

// HTML of the page as it is.
func (tab *Tab) HTML() string {
	tab.t.Helper()
	return Eval[string](tab, "document.documentElement.outerHTML")
}

// Mark the page, for [Tab.Marked] to tell that it was not loaded anew.
func (tab *Tab) Mark() { tab.Do("window.marked = true") }

// Marked reports whether the page is still the one that was marked.
func (tab *Tab) Marked() bool { return Eval[bool](tab, "window.marked === true") }

// SignIn to the dashboard with a token.
func (tab *Tab) SignIn(token string) {
	tab.t.Helper()
	tab.Open("/hangfire")
	tab.Fill("#token", token)
	tab.Press("form.stack button")
}
