// Openapi prints the description of the REST API: `make generate` keeps it in
// docs/openapi.yaml.
package main

import (
	"fmt"
	"os"

	"github.com/openradius/workspace-jobs/api/rest"
)

func main() {
	description, err := rest.Description()
	if err == nil {
		_, err = os.Stdout.Write(description)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
