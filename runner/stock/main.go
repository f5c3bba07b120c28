// Command stock is the program of the runner image that Workspaces use unless they name
// another. It has the handlers sql, data-cleanup, report and external-sync.
package main

import (
	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/handlers"
)

// version is set at build time.
var version = "dev"

func main() {
	runner.MainVersion(version, handlers.Stock()...)
}
