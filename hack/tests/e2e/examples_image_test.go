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

// runnerExample is a folder of docs/examples: a runner image as a reader of the
// documentation makes one. Each has a handler close-sessions.
type runnerExample struct {
	name string
	// load makes the image and loads it into the cluster.
	load func() error
	// badArgs is what it says of arguments that don't fit, noTable of a table that is gone.
	badArgs, noTable string
}

// inFolder gives what builds images a folder that is gone afterwards.
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
			badArgs: `idle takes a duration such as 2h, not "2 hours"`,
			noTable: `relation "radacct" does not exist`,
		},
	}
}

func exampleImage(name string) string { return registry + "/" + name + ":" + tag }

// loadPython makes the image of docs/examples/runner-python, by its Dockerfile.
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

// loadGo makes the image of docs/examples/runner-go by the commands of
// docs/writing-handlers.md, which push it where this loads it.
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
