// Package browser opens the dashboard in a real browser, as its users do.
package browser

import (
	"context"
	"os/exec"

	"github.com/chromedp/chromedp"

	"github.com/openradius/workspace-jobs/hack/env/debian"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// Browser is a Chromium without a window.
type Browser struct {
	ctx  context.Context // chromedp keeps a browser in a context
	stop func()
}

// Start a browser, which [Browser.Stop] ends. As root on Debian it is installed first if
// it is missing.
func Start(ctx context.Context) (*Browser, error) {
	path, err := chromium(ctx)
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(testenv.PollLimit))
	// It outlives the ctx that it is started with.
	allocated, stop := chromedp.NewExecAllocator(context.WithoutCancel(ctx), options...)
	opened, closeBrowser := chromedp.NewContext(allocated)
	b := &Browser{opened, func() { closeBrowser(); stop() }}
	if err := chromedp.Do(opened); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// Stop the browser and all of its tabs.
func (b *Browser) Stop() { b.stop() }

// chromium is the path of its program.
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
