// Package browser opens the dashboard in a real browser, as its users do.
package browser

import (
	"context"
	"os/exec"

	"github.com/openradius/workspace-jobs/hack/debian"
)

// Chromium is the path of the browser. As root on Debian it is installed if it is missing.
func Chromium(ctx context.Context) (string, error) {
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
