package testenv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// install applies what the operator needs in a cluster: CRDs, roles and its namespace, but
// nothing that runs in that namespace. The policies read the operator's Deployment, so they
// get one without replicas.
func install(ctx context.Context, c client.Client, config string, options Options) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName(options.namespace())
	objects := []*unstructured.Unstructured{namespace}
	patterns := []string{"crd/bases/*.yaml", "rbac/*.yaml"}
	if options.Policies {
		patterns = append(patterns, "manager/deployment.yaml", "policies/*.yaml")
	}
	for _, pattern := range patterns {
		more, err := readManifests(filepath.Join(config, pattern), options.namespace())
		if err != nil {
			return err
		}
		objects = append(objects, more...)
	}
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			if err := unstructured.SetNestedField(object.Object, int64(0), "spec", "replicas"); err != nil {
				return err
			}
		}
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("testenv"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("install %s %q: %w", object.GetKind(), object.GetName(), err)
		}
	}
	for _, object := range objects {
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if err := waitEstablished(ctx, c, object); err != nil {
			return fmt.Errorf("CRD %q is not established: %w", object.GetName(), err)
		}
	}
	return nil
}

// readManifests reads the manifests for the operator's namespace, as `make install-yaml` renders
// them.
func readManifests(pattern, namespace string) ([]*unstructured.Unstructured, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("there is no %s: run `make generate`", pattern)
	}
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		content = bytes.ReplaceAll(content, []byte(operatorNamespace), []byte(namespace))
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			object := &unstructured.Unstructured{}
			if err == nil {
				err = yaml.Unmarshal(document, &object.Object)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			// A folder's kustomization is not an object of the cluster.
			if object.GetName() != "" {
				objects = append(objects, object)
			}
		}
	}
	return objects, nil
}

// waitEstablished waits until the API server serves the kind, which discovery may list only
// some time after its CRD is established.
func waitEstablished(ctx context.Context, c client.Client, crd *unstructured.Unstructured) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		live := crd.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(crd), live); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		kind, err := establishedKind(live)
		if err != nil || kind.Empty() {
			return false, err
		}
		_, err = c.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		return err == nil, nil
	})
}

// establishedKind returns the kind that a CRD defines, in its first version, or nothing if
// the CRD is not established. The conditions of a CRD that has just been created are null.
func establishedKind(crd *unstructured.Unstructured) (schema.GroupVersionKind, error) {
	typed := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(crd.Object, typed); err != nil {
		return schema.GroupVersionKind{}, err
	}
	if !apihelpers.IsCRDConditionTrue(typed, apiextensionsv1.Established) {
		return schema.GroupVersionKind{}, nil
	}
	return schema.GroupVersionKind{Group: typed.Spec.Group, Version: typed.Spec.Versions[0].Name, Kind: typed.Spec.Names.Kind}, nil
}
