package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/browser"
)

// tab opens a tab of the browser that all tests share, for the server's pages.
func tab(t *testing.T, url string) *browser.Tab {
	t.Helper()
	var err error
	shared.openChromium.Do(func() { shared.chromium, err = browser.Start(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	if shared.chromium == nil {
		t.Fatal("the browser did not start")
	}
	return shared.chromium.Tab(t, url)
}

// signedIn opens a tab and signs in with the token of a user who may see one workspace.
func signedIn(t *testing.T, url, token string) *browser.Tab {
	t.Helper()
	b := tab(t, url)
	b.SignIn(token)
	b.See("h1", "Overview")
	return b
}

// picture writes screenshots of the page to dist/screenshots.
func picture(b *browser.Tab, name string) {
	b.Picture(filepath.Join(shared.root, "dist", "screenshots"), name)
}

// in returns the tenant for a subtest.
func (tn *tenant) in(t *testing.T) *tenant {
	part := *tn
	part.t = t
	return &part
}
