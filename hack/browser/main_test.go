package browser_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/dashboard"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/browser"
	"github.com/openradius/workspace-jobs/hack/testenv"
)

var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true, Policies: true}}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler))
	os.Exit(shared.Run(m, func() {
		if opened.stop != nil {
			opened.stop()
		}
	}))
}

// lab is a cluster with the operator, a played node, two workspaces, the dashboard, and a
// browser.
type lab struct {
	env     *testenv.Env
	node    *testenv.Node
	acme    *client.Workspace
	server  *httptest.Server
	browser context.Context
	stop    context.CancelFunc
}

var (
	once    sync.Once
	opened  lab
	openErr error
)

func newLab(t *testing.T) lab {
	t.Helper()
	env := shared.Env(t)
	shared.Operator(t)
	once.Do(func() { openErr = open(env) })
	if openErr != nil {
		t.Fatal(openErr)
	}
	return opened
}

func open(env *testenv.Env) error {
	ctx, stop := context.WithCancel(context.Background())
	opened = lab{env: env, acme: client.New(env.Config).For("acme"), stop: stop}
	var err error
	if opened.node, err = testenv.PlayNode(ctx, env); err != nil {
		return err
	}
	for _, name := range []string{"acme", "globex"} {
		if err := env.MakeTenant(ctx, name); err != nil {
			return err
		}
	}
	informer, err := auth.NewInformer(env.Config)
	if err != nil {
		return err
	}
	go func() { _ = informer.Run(ctx) }()
	if !informer.Ready(ctx) {
		return errors.New("the Workspaces are not read")
	}
	sessions, err := auth.NewSessions(nil)
	if err != nil {
		return err
	}
	opened.server = httptest.NewServer(dashboard.Handler(auth.New(env.Config, informer), sessions))
	path, err := browser.Chromium(ctx)
	if err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(testenv.PollLimit))
	allocated, _ := chromedp.NewExecAllocator(ctx, options...)
	chromium, closeBrowser := chromedp.NewContext(allocated)
	opened.browser = chromium //nolint:fatcontext // it lives as long as the tests
	opened.stop = func() {
		closeBrowser()
		stop()
	}
	return chromedp.Do(chromium)
}

// tab of the browser, with cookies of its own.
type tab struct {
	t      *testing.T
	l      lab
	ctx    context.Context
	faults []string
}

func (l lab) tab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(l.browser, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	limited, cancelTime := context.WithTimeout(ctx, 2*testenv.PollLimit)
	b := &tab{t: t, l: l, ctx: limited}
	messages := chromedp.Console(limited)
	var listening sync.WaitGroup
	listening.Go(func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			b.heard(message)
		}
	})
	t.Cleanup(func() {
		cancelTime()
		cancel()
		listening.Wait()
		for _, fault := range b.faults {
			t.Errorf("the browser's console: %s", fault)
		}
	})
	return b
}

// heard what a page must not have: errors of scripts, violations of its policy, and files
// that are not there.
func (b *tab) heard(message chromedp.ConsoleMessage) {
	switch message.Type {
	case chromedp.ConsoleWarning, chromedp.ConsoleError, chromedp.ConsoleException:
	default:
		return
	}
	// A page that says no is what the test asks for; a stream that is cut off is one that
	// was left.
	if strings.Contains(message.Text, "the server responded with a status of 4") {
		return
	}
	b.faults = append(b.faults, fmt.Sprintf("%s: %s %s", message.Type, message.Text, message.URL))
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// eval is what a script in the page gives.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return value
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.l.server.URL+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// press a button or a link, and wait for the page that it leads to.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Evaluate[chromedp.Void]("document.querySelector("+quoted(selector)+").click()")); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "\\'") + "'" }

// see waits until the element has the text.
func (b *tab) see(selector, text string) {
	b.t.Helper()
	script := "(document.querySelector(" + quoted(selector) + ")||{textContent:''}).textContent"
	testenv.Eventually(b.t, fmt.Sprintf("%s says %q", selector, text), func(context.Context) error {
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script))
		if err != nil {
			return err
		}
		if !strings.Contains(got, text) {
			return fmt.Errorf("it says %.600q", strings.Join(strings.Fields(got), " "))
		}
		return nil
	})
}

func (b *tab) has(selector string) bool {
	b.t.Helper()
	return eval[bool](b, "document.querySelector("+quoted(selector)+") !== null")
}

// mark the page, to know later that it was not loaded anew.
func (b *tab) mark() { eval[bool](b, "window.marked = true") }

func (b *tab) marked() bool { return eval[bool](b, "window.marked === true") }

func (b *tab) signIn(token string) {
	b.t.Helper()
	b.open("/hangfire")
	b.do(chromedp.SetValue(chromedp.CSS("#token"), token))
	b.press("form.stack button")
}

// as is a tab in which a member has signed in.
func (l lab) as(t *testing.T, account string) *tab {
	t.Helper()
	b := l.tab(t)
	b.signIn(l.token(t, account))
	b.see("h1", "Overview")
	return b
}

func (l lab) token(t *testing.T, account string) string {
	t.Helper()
	token, err := l.env.Token(t.Context(), "workspace-acme", account)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (l lab) run(t *testing.T, name string, part testenv.Part, options ...client.JobOption) {
	t.Helper()
	if _, err := l.acme.Enqueue(t.Context(), "play", part, append(options, client.WithName(name))...); err != nil {
		t.Fatal(err)
	}
}

func (l lab) until(t *testing.T, name string, state v1alpha1.JobState) {
	t.Helper()
	testenv.Eventually(t, name+" is "+string(state), func(ctx context.Context) error {
		job, err := l.acme.Get(ctx, name)
		if err == nil && job.Status.State != state {
			err = fmt.Errorf("it is %s: %s", job.Status.State, job.Status.Message)
		}
		return err
	})
}

// look is how a page is looked at.
type look struct {
	name          string
	width, height int64
	scheme        string
}

func looks() []look {
	return []look{{"wide-light", 1280, 900, "light"}, {"wide-dark", 1280, 900, "dark"}, {"phone-light", 360, 740, "light"}, {"phone-dark", 360, 740, "dark"}}
}

// picture the page in every look, into dist/screenshots at the repository's root, and see
// that nothing of it is beside the screen.
func (b *tab) picture(name string) {
	b.t.Helper()
	folder := filepath.Join("..", "..", "dist", "screenshots")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, l := range looks() {
		b.do(chromedp.EmulateViewport(l.width, l.height), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
			})
			return chromedp.Void{}, err
		})
		if wider := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wider > 0 {
			b.t.Errorf("%s is %d pixels wider than a screen of %d", name, wider, l.width)
		}
		image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+"-"+l.name+".png"), image, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}
