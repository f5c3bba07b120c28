// Package manifests holds tests of what users apply to a cluster: that the samples, the tenants'
// roles and PROJECT fit the API.
package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const root = "../../.."

// TestTenantRoles checks that a tenant can write jobs and recurring jobs, nothing else, and can't
// read Secrets.
func TestTenantRoles(t *testing.T) {
	t.Parallel()
	readVerbs := []string{"get", "list", "watch"}
	writeVerbs := []string{"create", "update", "patch", "delete", "deletecollection"}
	for _, name := range []string{"viewer", "editor", "admin"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(root, "config/rbac/tenant-"+name+".yaml")
			var role rbacv1.ClusterRole
			strict(t, path, read(t, path), &role)
			if want := "workspace-jobs-" + name; role.Name != want {
				t.Errorf("the role's name is %q, the operator binds %q", role.Name, want)
			}
			for _, rule := range role.Rules {
				allowed := readVerbs
				if name != "viewer" && slices.Equal(rule.Resources, []string{"workspacejobs", "workspacerecurringjobs"}) {
					allowed = append(slices.Clone(readVerbs), writeVerbs...)
				}
				for _, verb := range rule.Verbs {
					if !slices.Contains(allowed, verb) {
						t.Errorf("it may %s %v", verb, rule.Resources)
					}
				}
				for _, resource := range slices.Concat(rule.Resources, rule.APIGroups) {
					if resource == "*" || resource == "secrets" || strings.HasSuffix(resource, "/status") {
						t.Errorf("it has a rule for %q", resource)
					}
				}
			}
		})
	}
}

// TestProject checks that PROJECT, which is maintained by hand, lists the kinds that have a CRD.
func TestProject(t *testing.T) {
	t.Parallel()
	var project struct {
		Version, Domain, Repo, ProjectName string
		Layout                             []string
		Resources                          []struct {
			Group, Version, Kind, Path, Domain string
			Controller                         bool
			API                                struct {
				CRDVersion string `json:"crdVersion"`
				Namespaced bool   `json:"namespaced"`
			} `json:"api"`
		}
	}
	if err := yaml.UnmarshalStrict(read(t, filepath.Join(root, "PROJECT")), &project); err != nil {
		t.Fatal(err)
	}
	var listed, defined []string
	for _, resource := range project.Resources {
		group := resource.Group + "." + resource.Domain
		scope := "Cluster"
		if resource.API.Namespaced {
			scope = "Namespaced"
		}
		listed = append(listed, strings.Join([]string{resource.Kind, group, resource.Version, scope}, " "))
	}
	for path, document := range documents(t, "config/crd/bases") {
		var crd struct {
			Spec struct {
				Group, Scope string
				Names        struct{ Kind string }
				Versions     []struct{ Name string }
			}
		}
		if err := yaml.Unmarshal(document, &crd); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, version := range crd.Spec.Versions {
			defined = append(defined, strings.Join([]string{crd.Spec.Names.Kind, crd.Spec.Group, version.Name, crd.Spec.Scope}, " "))
		}
	}
	slices.Sort(listed)
	slices.Sort(defined)
	if !slices.Equal(listed, defined) {
		t.Errorf("PROJECT lists %q, config/crd/bases defines %q", listed, defined)
	}
}

// documents yields every YAML document below folder with the path of its file.
func documents(t *testing.T, folder string) func(func(string, []byte) bool) {
	t.Helper()
	type document struct {
		path string
		text []byte
	}
	var all []document
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		for _, text := range split(t, path) {
			all = append(all, document{path, text})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string, []byte) bool) {
		for _, d := range all {
			if !yield(d.path, d.text) {
				return
			}
		}
	}
}

func split(t *testing.T, path string) [][]byte {
	t.Helper()
	return splitText(t, path, read(t, path))
}

func splitText(t *testing.T, path string, text []byte) [][]byte {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var all [][]byte
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			all = append(all, text)
		}
	}
}

func typeOf(t *testing.T, path string, document []byte) metav1.TypeMeta {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return kind
}

func strict(t *testing.T, path string, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
