package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/browser"
)

// tab of the tests' one browser, on the server's pages.
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

// signedIn is a tab in which somebody has signed in who may see one workspace.
func signedIn(t *testing.T, url, token string) *browser.Tab {
	t.Helper()
	b := tab(t, url)
	b.SignIn(token)
	b.See("h1", "Overview")
	return b
}

// picture the page into dist/screenshots, for people to look at.
func picture(b *browser.Tab, name string) {
	b.Picture(filepath.Join(shared.root, "dist", "screenshots"), name)
}

// in is the tenant for a part of its test.
func (tn *tenant) in(t *testing.T) *tenant {
	part := *tn
	part.t = t
	return &part
}
