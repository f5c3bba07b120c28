package rest_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/rest"
)

// described is the committed description, by which every answer in these tests is
// checked.
var described *description

type description struct {
	document map[string]any
	compiler *jsonschema.Compiler

	lock sync.Mutex
	// asked are the operations that were answered with success.
	asked map[string]bool
}

func newDescription(file string) (*description, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	object, ok := document.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", file, document)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return &description{document: object, compiler: compiler, asked: map[string]bool{}}, compiler.AddResource("openapi.json", document)
}

// pathOf returns the template in the description that fits a request, or "" if none does.
func (d *description) pathOf(path string) string {
	paths, _ := d.document["paths"].(map[string]any)
	best := ""
	for template := range paths {
		pattern := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		// One without a parameter comes first, as in the server.
		if regexp.MustCompile("^"+pattern+"$").MatchString(path) && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best = template
		}
	}
	return best
}

// check checks that an answer is as it is described.
func (d *description) check(method, path string, status int, contentType string, body []byte) error {
	template := d.pathOf(path)
	operation, _ := dig(d.document, "paths", template, strings.ToLower(method)).(map[string]any)
	if operation == nil {
		return fmt.Errorf("%s %s is not described", method, path)
	}
	if status < 300 {
		d.lock.Lock()
		d.asked[method+" "+template] = true
		d.lock.Unlock()
	}
	response, _ := dig(operation, "responses", fmt.Sprint(status)).(map[string]any)
	if response == nil {
		return fmt.Errorf("%s %s: status %d is not described", method, template, status)
	}
	content, _ := response["content"].(map[string]any)
	if content == nil {
		if len(body) > 0 {
			return fmt.Errorf("%s %s: %d has a body, but none is described: %s", method, template, status, body)
		}
		return nil
	}
	kind, _, _ := strings.Cut(contentType, ";")
	if content[kind] == nil {
		return fmt.Errorf("%s %s: %d is %q, which is not described", method, template, status, contentType)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	return d.validate(body, "paths", template, strings.ToLower(method), "responses", fmt.Sprint(status), "content", kind, "schema")
}

// validate validates a JSON text by the schema at a place in the description.
func (d *description) validate(text []byte, place ...string) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	location := "openapi.json#"
	for _, each := range place {
		location += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(each)
	}
	d.lock.Lock()
	schema, err := d.compiler.Compile(location)
	d.lock.Unlock()
	if err != nil {
		return err
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// unasked returns an error that names the operations of which no test has had an answer.
func (d *description) unasked() error {
	var missing []string
	paths, _ := d.document["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method := range operations {
			name := strings.ToUpper(method) + " " + path
			if !d.asked[name] {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test has called %q successfully", missing)
	}
	return nil
}

func dig(value any, path ...string) any {
	for _, each := range path {
		object, _ := value.(map[string]any)
		value = object[each]
	}
	return value
}

func TestTheCommittedDescriptionIsTheOneServed(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := rest.Description()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, made) {
		t.Error("docs/openapi.yaml is stale: run `make generate`")
	}
	if served := get(t, "/openapi.yaml", ""); served.status != 200 || !bytes.Equal(served.body, made) {
		t.Errorf("/openapi.yaml: %d, %d bytes", served.status, len(served.body))
	}
	served := get(t, "/openapi.json", "")
	asJSON, err := yaml.YAMLToJSON(made)
	if err != nil || served.status != 200 {
		t.Fatal(served.status, err)
	}
	if string(asJSON) != canonical(t, served.body) {
		t.Error("/openapi.json and /openapi.yaml differ")
	}
	if bytes.Contains(made, []byte("https://")) && !bytes.Contains(made, []byte("example.com")) {
		t.Error("the description links elsewhere")
	}
	for _, page := range []string{"/docs", "/schemas/Job.json"} {
		if a := get(t, page, ""); a.status != 404 {
			t.Errorf("%s: %d", page, a.status)
		}
	}
}
