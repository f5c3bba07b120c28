//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
)

// simulatedNodeName is the node that kwok plays.
const simulatedNodeName = "simulated"

// kwokStages are kwok's own rules: the node is Ready and stays so, a pod runs as soon as
// it is bound to it, and one that a Job owns has succeeded a moment later.
func kwokStages() []string {
	return []string{
		"kustomize/stage/node/fast/node-initialize.yaml",
		"kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
		"kustomize/stage/pod/fast/pod-ready.yaml",
		"kustomize/stage/pod/fast/pod-complete.yaml",
		"kustomize/stage/pod/fast/pod-delete.yaml",
	}
}

// kwokConfig is a KwokConfiguration (kwok.x-k8s.io/v1alpha1) that lets a burst of pods
// start at once. Without the parallelisms kwok refuses to start.
func kwokConfig() map[string]any {
	return map[string]any{
		"apiVersion": "config.kwok.x-k8s.io/v1alpha1",
		"kind":       "KwokConfiguration",
		"options": map[string]any{
			"manageSingleNode":         simulatedNodeName,
			"cidr":                     podSubnet,
			"nodeLeaseDurationSeconds": 40,
			"nodeLeaseParallelism":     1,
			"nodePlayStageParallelism": 1,
			"podPlayStageParallelism":  16,
		},
	}
}

func (c controlPlane) writeKwokConfig() error {
	text, err := json.MarshalIndent(kwokConfig(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.kwokConfigFile(), text, 0o600)
}

func (c controlPlane) kwokConfigFile() string { return path.Join(c.kubeconfigs, "kwok.json") }

func (c controlPlane) kwokArgs(bin binaries) []string {
	args := []string{"--kubeconfig=" + c.kubeconfig("admin"), "--config=" + c.kwokConfigFile()}
	for _, file := range kwokStages() {
		args = append(args, "--config="+bin[path.Base(file)])
	}
	return args
}

// simulatedNodeReady makes the node if it is not there, and tells when kwok has taken it
// up.
func (c controlPlane) simulatedNodeReady(ctx context.Context, client *http.Client) error {
	err := nodeReady(ctx, client, c.server(), simulatedNodeName)
	var missing *statusError
	if !errors.As(err, &missing) || missing.code != http.StatusNotFound {
		return err
	}
	if err := c.makeSimulatedNode(ctx, client); err != nil {
		return err
	}
	return errors.New("the node was made just now")
}

func (c controlPlane) makeSimulatedNode(ctx context.Context, client *http.Client) error {
	// Room for everything; kwok leaves what is said here.
	room := map[string]string{"cpu": "10k", "memory": "100Ti", "ephemeral-storage": "1Pi", "pods": "1M"}
	node := map[string]any{"apiVersion": "v1", "kind": "Node", "status": map[string]any{"capacity": room, "allocatable": room}, "metadata": map[string]any{
		"name":   simulatedNodeName,
		"labels": map[string]string{"kubernetes.io/hostname": simulatedNodeName, "kubernetes.io/os": "linux", "type": "kwok"},
		// Whoever looks at it should see that nothing runs there.
		"annotations": map[string]string{"kwok.x-k8s.io/node": "fake"},
	}}
	body, err := json.Marshal(node)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server()+"/api/v1/nodes", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	_, err = send(client, request)
	return err
}

// nodeReady asks the API server.
func nodeReady(ctx context.Context, client *http.Client, server, name string) error {
	body, err := get(ctx, client, server+"/api/v1/nodes/"+name)
	if err != nil {
		return err
	}
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		}
		if condition.Type == "Ready" {
			return fmt.Errorf("the node is not ready: %s", strings.TrimSpace(condition.Message))
		}
	}
	return errors.New("the node has no Ready condition yet")
}
