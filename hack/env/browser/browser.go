// Package browser drives a real browser, for tests of the dashboard.
package browser

import (
	"context"
	"os/exec"

	"github.com/chromedp/chromedp"

	"github.com/openradius/workspace-jobs/hack/env/debian"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// Browser is a headless Chromium.
type Browser struct {
	ctx  context.Context // chromedp keeps a browser in a context
	stop func()
}

// Start starts a browser, which [Browser.Stop] ends. If Chromium is missing, it is installed
// first, which needs root and Debian.
func Start(ctx context.Context) (*Browser, error) {
	path, err := chromium(ctx)
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(testenv.PollLimit))
	// The browser outlives ctx.
	allocated, stop := chromedp.NewExecAllocator(context.WithoutCancel(ctx), options...)
	opened, closeBrowser := chromedp.NewContext(allocated)
	b := &Browser{opened, func() { closeBrowser(); stop() }}
	if err := chromedp.Do(opened); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// Stop ends the browser and all of its tabs.
func (b *Browser) Stop() { b.stop() }

// chromium returns the path of Chromium's program.
func chromium(ctx context.Context) (string, error) {
	if path, err := find(); err == nil {
		return path, nil
	}
	if err := debian.Install(ctx, "chromium", "fonts-dejavu-core"); err != nil {
		return "", err
	}
	return find()
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}
