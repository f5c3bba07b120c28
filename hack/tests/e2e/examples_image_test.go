package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/openradius/workspace-jobs/hack/env/debian"
)

// runnerExample is a runner image of docs/examples, built as the documentation says. Each
// has a handler close-sessions.
type runnerExample struct {
	name string
	// load builds the image and loads it into the cluster.
	load func() error
	// badArgs is its error for arguments that don't fit, noTable for a missing table.
	badArgs, noTable string
}

// inFolder calls a function that builds an image with a temporary folder.
func inFolder(do func(ctx context.Context, folder string) error) error {
	folder, err := os.MkdirTemp("", "workspace-jobs-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	return do(context.Background(), folder)
}

func runnerExamples() []runnerExample {
	return []runnerExample{
		{
			name: "runner-python", load: loadPython,
			badArgs: "'2 hours' is not a duration such as 1h30m",
			noTable: `UndefinedTable: relation "radacct" does not exist`,
		},
		{
			name: "runner-go", load: loadGo,
			badArgs: `idle must be a duration such as 2h, not "2 hours"`,
			noTable: `relation "radacct" does not exist`,
		},
	}
}

func exampleImage(name string) string { return registry + "/" + name + ":" + tag }

// loadPython builds the image of docs/examples/runner-python with its Dockerfile.
var loadPython = sync.OnceValue(func() error {
	return inFolder(func(ctx context.Context, folder string) error {
		archive := filepath.Join(folder, "image.tar")
		if err := debian.WriteImage(ctx, exampleFolder("runner-python"), exampleImage("runner-python"), archive); err != nil {
			return err
		}
		return shared.load(ctx, archive)
	})
})

func exampleFolder(name string) string { return filepath.Join(shared.root, "docs", "examples", name) }

// loadGo builds the image of docs/examples/runner-go with the commands of
// docs/writing-handlers.md, but loads it into the cluster instead of pushing it.
var loadGo = sync.OnceValue(func() error {
	return inFolder(func(ctx context.Context, folder string) error {
		page, err := os.ReadFile(filepath.Join(shared.root, "docs", "writing-handlers.md"))
		if err != nil {
			return err
		}
		commands := buildCommands.FindSubmatch(page)
		if commands == nil {
			return fmt.Errorf("docs/writing-handlers.md has no commands that match %s", buildCommands)
		}
		archive := filepath.Join(folder, "image.tar")
		script := strings.NewReplacer(
			"/tmp/runner", filepath.Join(folder, "runner"),
			"registry.example.net/acme/runner:v1 --push", exampleImage("runner-go")+" --output "+archive,
		).Replace(string(commands[1]))
		if !strings.Contains(script, archive) {
			return fmt.Errorf("docs/writing-handlers.md pushes no image:\n%s", commands[1])
		}
		script = fmt.Sprintf("set -eu; WORKSPACE_JOBS='%s'; cd '%s'\n%s", shared.root, exampleFolder("runner-go"), script)
		if _, err := shared.command(ctx, "bash", "-c", script); err != nil {
			return err
		}
		return shared.load(ctx, archive)
	})
})

var buildCommands = regexp.MustCompile("(?s)\n```sh\n(CGO_ENABLED=0 go build .*?)```")
