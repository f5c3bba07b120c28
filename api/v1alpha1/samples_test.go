package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestSamplesAreAccepted creates every sample.
func TestSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	a := connect(t)
	for _, tenant := range []string{"acme", "globex"} {
		a.namespace("workspace-" + tenant)
	}
	files, err := filepath.Glob("../../config/samples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			u := object(t, document, "")
			if u.GetKind() == "Kustomization" {
				continue
			}
			count++
			apply := client.ApplyConfigurationFromUnstructured(u)
			if err := a.Apply(t.Context(), apply, client.FieldOwner("samples"), client.DryRunAll); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d samples are found", count)
	}
}
