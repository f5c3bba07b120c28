package manifests

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// operatorParts are the folders of config that name the operator: those of config/default,
// and what docs/install.md adds to it.
func operatorParts() []string {
	return []string{"crd", "rbac", "policies", "manager", "canary", "server", "authors", "prometheus"}
}

// TestEverythingNamesTheSameOperator checks each place in the manifests that names the
// operator's namespace or user, as they are and with another namespace, as `make install-yaml`
// renders them with NAMESPACE. An admission policy that names somebody else would not bind the
// operator.
func TestEverythingNamesTheSameOperator(t *testing.T) {
	t.Parallel()
	for _, namespace := range []string{operatorNamespace, "elsewhere"} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			var all []*unstructured.Unstructured
			for _, part := range operatorParts() {
				for path, document := range documents(t, filepath.Join("config", part)) {
					all = append(all, object(t, path, bytes.ReplaceAll(document, []byte(operatorNamespace), []byte(namespace))))
				}
			}
			checkNames(t, all, namespace)
		})
	}
}

func object(t *testing.T, path string, document []byte) *unstructured.Unstructured {
	t.Helper()
	one := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(document, &one.Object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return one
}

var userName = regexp.MustCompile(`system:serviceaccount:[a-z0-9-]+:[a-z0-9-]+`)

// checkNames checks that the objects name the namespace, and the user that the operator's
// Deployment has there.
func checkNames(t *testing.T, objects []*unstructured.Unstructured, namespace string) {
	t.Helper()
	user, policies := operatorOf(t, objects, namespace), 0
	for _, o := range objects {
		what := o.GetKind() + " " + o.GetName()
		if got := o.GetNamespace(); got != "" && got != namespace {
			t.Errorf("%s is in the namespace %s", what, got)
		}
		if o.GetKind() == "Namespace" && o.GetName() != namespace {
			t.Errorf("there is a namespace %s", o.GetName())
		}
		subjects, _, _ := unstructured.NestedSlice(o.Object, "subjects")
		for _, subject := range subjects {
			if got := subject.(map[string]any)["namespace"]; got != namespace {
				t.Errorf("%s binds a subject in %v", what, got)
			}
		}
		if got, found, _ := unstructured.NestedString(o.Object, "spec", "paramRef", "namespace"); found && got != namespace {
			t.Errorf("%s reads its parameter in %s", what, got)
		}
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		names := userName.FindAllString(string(text), -1)
		if len(names) > 0 {
			policies++
		}
		if i := slices.IndexFunc(names, func(name string) bool { return name != user }); i >= 0 {
			t.Errorf("%s takes %s for the operator, which is %s", what, names[i], user)
		}
		if namespace != operatorNamespace && strings.Contains(string(text), operatorNamespace) {
			t.Errorf("%s still names %s", what, operatorNamespace)
		}
	}
	if policies < 8 {
		t.Errorf("only %d policies name the operator", policies)
	}
}

// operatorOf returns the user that the operator's Deployment has.
func operatorOf(t *testing.T, objects []*unstructured.Unstructured, namespace string) string {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "Deployment" && o.GetName() == operatorName
	})
	if i < 0 {
		t.Fatal("the operator has no Deployment")
	}
	text, err := yaml.Marshal(objects[i].Object)
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	strict(t, operatorName, text, &deployment)
	return "system:serviceaccount:" + namespace + ":" + deployment.Spec.Template.Spec.ServiceAccountName
}

// TestEveryDeploymentIsFencedBothWays checks that a NetworkPolicy limits who may connect to each
// pod of the operator's namespace, and where it may connect.
func TestEveryDeploymentIsFencedBothWays(t *testing.T) {
	t.Parallel()
	fenced, deployments := map[string]bool{}, 0
	for _, part := range operatorParts() {
		for path, document := range documents(t, filepath.Join("config", part)) {
			if typeOf(t, path, document).Kind == "NetworkPolicy" {
				var policy networkingv1.NetworkPolicy
				strict(t, path, document, &policy)
				fenced[labels.FormatLabels(policy.Spec.PodSelector.MatchLabels)] = len(policy.Spec.PolicyTypes) == 2
			}
		}
	}
	for _, part := range operatorParts() {
		for path, document := range documents(t, filepath.Join("config", part)) {
			if typeOf(t, path, document).Kind != "Deployment" {
				continue
			}
			var deployment appsv1.Deployment
			strict(t, path, document, &deployment)
			deployments++
			if !fenced[labels.FormatLabels(deployment.Spec.Template.Labels)] {
				t.Errorf("no NetworkPolicy limits %s in both directions", deployment.Name)
			}
		}
	}
	if deployments < 3 {
		t.Errorf("there are %d Deployments", deployments)
	}
}
