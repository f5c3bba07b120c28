package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// words splits a shell command, as far as the guide needs a shell: quotes, and variables that
// are set here.
var words = regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`)

// curl reads one of the guide's commands.
func curl(command string) (request, error) {
	q := request{method: http.MethodGet, as: app, header: http.Header{}}
	var args []string
	for _, match := range words.FindAllStringSubmatch(command, -1) {
		args = append(args, match[1]+match[2]+match[3])
	}
	if len(args) < 2 || args[0] != "curl" {
		return q, fmt.Errorf("no curl: %s", command)
	}
	for i := 1; i < len(args); i++ {
		option := args[i]
		if option == "-N" {
			continue
		}
		if path, ok := strings.CutPrefix(option, "$SERVER"); ok && i == len(args)-1 {
			q.path = path
			return q, nil
		}
		if i++; i == len(args) {
			break
		}
		switch option {
		case "-X":
			q.method = args[i]
		case "--json":
			q.body = args[i]
			if q.method == http.MethodGet {
				q.method = http.MethodPost
			}
		case "-H":
			name, value, _ := strings.Cut(args[i], ": ")
			if args[i] != "$AUTH" {
				q.header.Set(name, value)
			}
		default:
			return q, fmt.Errorf("the test does not know %q: %s", option, command)
		}
	}
	return q, fmt.Errorf("it does not end with its address: %s", command)
}

// TestTheGuidesExamples sends each command of docs/rest.md, in its order.
func TestTheGuidesExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/rest.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(block[1], "SERVER=") {
			continue // the examples begin with this
		}
		q, err := curl(block[1])
		if err != nil {
			t.Error(err)
			continue
		}
		path, _, _ := strings.Cut(q.path, "?")
		shown[q.method+" "+described.pathOf(path)] = true
		sendExample(t, q)
	}
	for path, item := range dig(described.document, "paths").(map[string]any) {
		for method := range item.(map[string]any) {
			if name := strings.ToUpper(method) + " " + path; !shown[name] {
				t.Errorf("docs/rest.md has no example of %s", name)
			}
		}
	}
}

// sendExample sends an example, which has to succeed.
func sendExample(t *testing.T, q request) {
	t.Helper()
	if strings.HasSuffix(q.path, "/events") {
		events, stop := listen(t, q.as, q.path, "")
		next(t, events, q.path, func(sent) bool { return true })
		stop()
		return
	}
	testenv.Eventually(t, q.method+" "+q.path, func(context.Context) error {
		a := q.send(t)
		if a.status < 300 {
			return nil
		}
		// A job is requeued once it has finished, and has a log once it has begun.
		err := fmt.Errorf("%d %s", a.status, a.body)
		if a.status != 409 && a.status != 404 {
			t.Fatal(err)
		}
		return err
	})
}
