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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// install applies what the operator needs in a cluster: CRDs, roles and its namespace, but
// nothing that runs in that namespace.
func install(ctx context.Context, c client.Client, config string, options Options) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName("workspace-jobs-system")
	objects := []*unstructured.Unstructured{namespace}
	patterns := []string{"crd/bases/*.yaml", "rbac/*.yaml"}
	if options.Policies {
		patterns = append(patterns, "policies/*.yaml")
	}
	for _, pattern := range patterns {
		more, err := readManifests(filepath.Join(config, pattern))
		if err != nil {
			return err
		}
		objects = append(objects, more...)
	}
	for _, object := range objects {
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

func readManifests(pattern string) ([]*unstructured.Unstructured, error) {
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
			// A folder's kustomization is no object of the cluster.
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
	kind, err := kindOf(crd)
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		live := crd.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(crd), live); err != nil {
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return false, err
		}
		conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, each := range conditions {
			if condition, ok := each.(map[string]any); ok && condition["type"] == "Established" && condition["status"] == "True" {
				_, err := c.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
				return err == nil, nil
			}
		}
		return false, err
	})
}

// kindOf returns the kind that a CRD defines, in its first version.
func kindOf(crd *unstructured.Unstructured) (schema.GroupVersionKind, error) {
	group, _, err := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, kindErr := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, versionsErr := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err := errors.Join(err, kindErr, versionsErr); err != nil || len(versions) == 0 {
		return schema.GroupVersionKind{}, fmt.Errorf("CRD %q has no version: %w", crd.GetName(), err)
	}
	first, ok := versions[0].(map[string]any)
	if !ok {
		return schema.GroupVersionKind{}, fmt.Errorf("a version of CRD %q is a %T", crd.GetName(), versions[0])
	}
	version, _, err := unstructured.NestedString(first, "name")
	return schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, err
}
