package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// engine returns Argo CD's engine with the customizations of the product's ConfigMap. Its standard libraries
// are off, as they are for scripts in a ConfigMap.
func engine(t *testing.T) lua.VM {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, output))
	if err != nil {
		t.Fatal(err)
	}
	var cm configMap
	if err := yaml.UnmarshalStrict(text, &cm); err != nil {
		t.Fatal(err)
	}
	overrides := map[string]appv1.ResourceOverride{}
	for key, value := range cm.Data {
		// resource.customizations.<what>.<group>_<kind>
		parts := strings.SplitN(key, ".", 4)
		kind := strings.Replace(parts[3], "_", "/", 1)
		override := overrides[kind]
		switch what := parts[2]; what {
		case "health":
			override.HealthLua = value
		case "actions":
			override.Actions = value
		default:
			t.Fatalf("%s: Argo CD does not know %q", key, what)
		}
		overrides[kind] = override
	}
	return lua.VM{ResourceOverrides: overrides}
}

// live returns the object as Argo CD reads it from a cluster: whole numbers are int64.
func live(t *testing.T, object any) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(reflect.TypeOf(object).Elem().Name()))
	return u
}

// health returns what Argo CD says about the object, and its message.
func health(t *testing.T, vm lua.VM, u *unstructured.Unstructured) (status, message string) {
	t.Helper()
	script, libraries, err := vm.GetHealthScript(u)
	if err != nil {
		t.Fatal(err)
	}
	if script == "" || libraries {
		t.Fatalf("%s: the script is %q, with libraries: %t", u.GetKind(), script, libraries)
	}
	result, err := vm.ExecuteHealthLua(u, script)
	if err != nil {
		t.Fatal(err)
	}
	return string(result.Status), result.Message
}

// kstatus returns what kstatus, which Flux and kubectl plugins use, says about the object.
func kstatus(t *testing.T, u *unstructured.Unstructured) status.Status {
	t.Helper()
	result, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestConfigMapIsCurrent(t *testing.T) {
	t.Parallel()
	if err := run(false); err != nil {
		t.Error(err)
	}
}
