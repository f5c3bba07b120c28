package manifests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestSamplesAreStrict checks that no sample has an unknown field or a status.
func TestSamplesAreStrict(t *testing.T) {
	t.Parallel()
	count := 0
	for path, document := range documents(t, "config/samples") {
		kind := typeOf(t, path, document).Kind
		if kind == "Kustomization" {
			continue
		}
		if strictIfOurs(t, path, document) == 0 {
			t.Errorf("%s: %s is not one of our kinds", path, kind)
			continue
		}
		sample := sampleOf(t, path, document)
		if (sample.Metadata.Namespace == "") != (kind == "Workspace") {
			t.Errorf("%s: a job has a namespace, and a Workspace has none", path)
		}
		if sample.Status != nil {
			t.Errorf("%s: it sets a status", path)
		}
		count++
	}
	if count == 0 {
		t.Error("config/samples has no sample")
	}
}

// sample has the fields that jobs, recurring jobs and Workspaces have in common.
type sample struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     v1alpha1.WorkspaceJobSpec
	Status   any
}

func (s sample) key(kind, name string) string { return kind + " " + s.Metadata.Namespace + "/" + name }

func sampleOf(t *testing.T, path string, document []byte) sample {
	t.Helper()
	var s sample
	if err := yaml.Unmarshal(document, &s); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

// TestSamplesFitTogether checks that all samples can be applied to one cluster, and that they
// refer only to one another.
func TestSamplesFitTogether(t *testing.T) {
	t.Parallel()
	places := map[string]string{}
	references := map[string][]string{}
	for path, document := range documents(t, "config/samples") {
		s := sampleOf(t, path, document)
		if s.Kind == "Kustomization" {
			continue
		}
		key := s.key(s.Kind, s.Metadata.Name)
		if other := places[key]; other != "" {
			t.Errorf("%s is in %s and in %s", key, other, path)
		}
		places[key] = path
		if ref := s.Spec.RecurringJobRef; ref != nil {
			references[key] = append(references[key], s.key("WorkspaceRecurringJob", ref.Name))
		}
		for _, parent := range s.Spec.After {
			references[key] = append(references[key], s.key("WorkspaceJob", parent.Name))
		}
	}
	for from, all := range references {
		for _, to := range all {
			if places[to] == "" {
				t.Errorf("%s refers to %s, which is not a sample", from, to)
			}
		}
	}
	if len(references) < 2 {
		t.Error("no sample shows a chain, or no sample shows a triggered run")
	}
}

// TestSamplesAreListed checks that a kustomization names each sample, so that it is applied.
func TestSamplesAreListed(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob(filepath.Join(root, "config/samples/*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 6 {
		t.Errorf("found only %q", folders)
	}
	for _, folder := range folders {
		var listed struct{ Resources []string }
		list := filepath.Join(folder, "kustomization.yaml")
		if err := yaml.Unmarshal(read(t, list), &listed); err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		var present []string
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.Name() != filepath.Base(list) {
				present = append(present, entry.Name())
			}
		}
		if !slices.Equal(listed.Resources, present) {
			t.Errorf("%s lists %q, but the folder has %q", list, listed.Resources, present)
		}
	}
}

// TestSamplesAreExplained checks that each file begins with a comment that says what it is for.
func TestSamplesAreExplained(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "config/samples/*/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) != "kustomization.yaml" && !strings.HasPrefix(string(read(t, file)), "# ") {
			t.Errorf("%s does not begin with a comment", file)
		}
	}
}
