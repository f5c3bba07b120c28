package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

var shared testenv.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

const (
	minimalWorkspace = `
apiVersion: jobs.openradius.io/v1alpha1
kind: Workspace
metadata: {name: minimal}
spec:
  database:
    secretRef: {name: database}
    egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]
  runner: {image: runner}
`
	minimalJob = `
apiVersion: jobs.openradius.io/v1alpha1
kind: WorkspaceJob
metadata: {name: minimal, namespace: default}
spec: {handler: sql}
`
	minimalRecurring = `
apiVersion: jobs.openradius.io/v1alpha1
kind: WorkspaceRecurringJob
metadata: {name: minimal, namespace: default}
spec: {schedule: "0 2 * * *", template: {handler: sql}}
`
)

// object returns base with overlay, a JSON merge patch in YAML, applied.
func object(t testing.TB, base, overlay string) *unstructured.Unstructured {
	t.Helper()
	document, err := yaml.YAMLToJSON([]byte(base))
	if err != nil {
		t.Fatal(err)
	}
	merged := merge(t, document, overlay)
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(merged); err != nil {
		t.Fatalf("%s: %v", merged, err)
	}
	return u
}

func merge(t testing.TB, document []byte, overlay string) []byte {
	t.Helper()
	patch, err := yaml.YAMLToJSON([]byte(overlay))
	if err != nil {
		t.Fatalf("%s: %v", overlay, err)
	}
	if string(patch) == "null" {
		return document
	}
	merged, err := jsonpatch.MergePatch(document, patch)
	if err != nil {
		t.Fatalf("%s: %v", overlay, err)
	}
	return merged
}

// api creates objects that are deleted after the test.
type api struct {
	client.Client
	t testing.TB
}

func connect(t testing.TB) api {
	t.Helper()
	return api{shared.Env(t).Client, t}
}

func (a api) create(u *unstructured.Unstructured) error {
	a.t.Helper()
	err := a.Create(a.t.Context(), u)
	if err == nil {
		a.t.Cleanup(func() {
			if err := a.Delete(context.Background(), u); err != nil {
				a.t.Error(err)
			}
		})
	}
	return err
}

// namespace creates a namespace for the test.
func (a api) namespace(name string) {
	a.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := a.Create(a.t.Context(), ns); err != nil {
		a.t.Fatal(err)
	}
}

// refused fails the test unless err contains want.
func refused(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted; it should be refused with %q", want)
	case !strings.Contains(err.Error(), want):
		t.Errorf("refused with\n  %v\nbut not with\n  %s", err, want)
	}
}

// validation is one rule, with an overlay that keeps it and one that breaks it.
type validation struct {
	rule string
	good string
	bad  string
	// message is a part of the error for bad.
	message string
}

// check creates base with each rule's good and bad overlay.
func check(t *testing.T, base string, table []validation) {
	t.Helper()
	for i, rule := range table {
		t.Run(rule.rule, func(t *testing.T) {
			t.Parallel()
			a := connect(t)
			for overlay, want := range map[string]string{rule.good: "", rule.bad: rule.message} {
				u := object(t, base, overlay)
				if u.GetName() == "minimal" {
					u.SetName(fmt.Sprintf("rule-%d-%d", i, len(want)))
				}
				err := a.create(u)
				switch {
				case want != "":
					refused(t, err, want)
				case err != nil:
					t.Errorf("%s is refused: %v", overlay, err)
				}
			}
		})
	}
}

// change is an update of an object that exists.
type change struct {
	field string
	// before is the overlay of the object that exists, after that of the change.
	before, after string
	// message is a part of the error; "" if the change is accepted.
	message string
}

func checkChanges(t *testing.T, base string, table []change) {
	t.Helper()
	for i, c := range table {
		t.Run(c.field, func(t *testing.T) {
			t.Parallel()
			a := connect(t)
			u := object(t, base, c.before)
			u.SetName(fmt.Sprintf("change-%d", i))
			if err := a.create(u); err != nil {
				t.Fatal(err)
			}
			document, err := u.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			changed := &unstructured.Unstructured{}
			if err := json.Unmarshal(merge(t, document, c.after), &changed.Object); err != nil {
				t.Fatal(err)
			}
			err = a.Update(t.Context(), changed)
			if c.message != "" {
				refused(t, err, c.message)
			} else if err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}
