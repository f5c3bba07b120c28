//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func (c cluster) controlPlane() controlPlane {
	return controlPlane{
		pki: c.state("pki"), data: c.state("etcd"), kubeconfigs: c.state(),
		address: c.nodeAddress(), port: apiServerPort, etcdPort: etcdPort, etcdPeerPort: etcdPeerPort,
	}
}

// components lists the parts in the order in which they start.
func (c cluster) components(bin binaries, client *http.Client, images []image) []component {
	plane := c.controlPlane()
	part := func(name string, args []string, ready func(context.Context) error, env ...string) component {
		return component{process: process{
			name: name, path: bin[name], args: args, env: env,
			log: c.state("logs", name+".log"), pidFile: c.run(name + ".pid"),
		}, ready: ready}
	}
	// containerd looks for its shim, and the shim for runc, in the path.
	path := "PATH=" + filepath.Dir(bin["containerd"]) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	at := func(url string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := get(ctx, client, plane.server()+url); return err }
	}
	return []component{
		part("etcd", plane.etcdArgs(), nil),
		part("containerd", []string{"--config=" + c.state("containerd.toml")},
			func(ctx context.Context) error { return c.containerdReady(ctx, bin, images) }, path),
		part("kube-apiserver", append(plane.apiServerArgs(), c.auditArgs()...), at("/readyz")),
		part("kube-controller-manager", plane.controllerManagerArgs(), nil),
		part("kube-scheduler", plane.schedulerArgs(), nil),
		part("kubelet", c.kubeletArgs(), func(ctx context.Context) error { return c.nodeReady(ctx, client) }, path),
		part("kube-proxy", c.kubeProxyArgs(), at("/api/v1/namespaces/default/serviceaccounts/default"), path),
		part("kube-router", c.kubeRouterArgs(), c.policiesEnforced, path),
	}
}

// up makes all of the cluster run, whatever state it is in.
func up(ctx context.Context, name string) error {
	if err := errors.Join(checkHost(), checkName(name)); err != nil {
		return err
	}
	if err := installTools(ctx); err != nil {
		return err
	}
	bin, err := build(ctx, realNode)
	if err != nil {
		return err
	}
	images, err := buildImages(ctx, bin)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, stateRoot, "changes a cluster")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := claim(name)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.writeBinaries(bin); err != nil {
		return err
	}
	client, err := newAdminClient(c.state("pki"))
	if err != nil {
		return err
	}
	if _, err := bringUp(ctx, c.components(bin, client, images), c.startInside); err != nil {
		return fmt.Errorf("%w\n  what was started is stopped; all logs are in %s until `cluster down`", err, c.state("logs"))
	}
	if err := c.startDNS(ctx, bin); err != nil {
		return err
	}
	say("cluster %q is up (%s): API server %s, host address for pods %s", name,
		time.Since(begin).Round(100*time.Millisecond), c.controlPlane().server(), c.hostAddress())
	say("kubeconfig: %s", c.kubeconfig())
	return nil
}

// prepare makes everything that the components expect to find.
func (c cluster) prepare(ctx context.Context) error {
	for _, folder := range []string{c.state("logs"), c.state("volume-plugins"), c.run("s")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	plane := c.controlPlane()
	if err := makePKI(plane.pki, time.Now(), identities(c.nodeAddress(), c.nodeName())); err != nil {
		return err
	}
	if err := plane.writeKubeconfigs("controller-manager", "scheduler", "kubelet", "proxy"); err != nil {
		return err
	}
	if err := writeKubeconfig(c.kubeconfig(), c.name, plane.server(), plane.pki, "admin"); err != nil {
		return err
	}
	if err := c.writeAuditPolicy(); err != nil {
		return err
	}
	if err := c.writeNodeConfigs(cniPlugins()); err != nil {
		return err
	}
	if err := c.makePlaces(); err != nil {
		return err
	}
	if err := c.makeNetwork(ctx); err != nil {
		return err
	}
	return c.makeCgroups()
}

// containerdReady reports an error until containerd answers and has the images that are not
// loaded later.
func (c cluster) containerdReady(ctx context.Context, bin binaries, images []image) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket())
	if err != nil {
		return err
	}
	if err := connection.Close(); err != nil {
		return err
	}
	return c.ensureImages(ctx, bin, images)
}

func (c cluster) nodeReady(ctx context.Context, client *http.Client) error {
	// The kubelet itself first: what the API server holds may be from before it was killed.
	kubelet := fmt.Sprintf("https://%s:%d/healthz", c.nodeAddress(), kubeletPort)
	if _, err := get(ctx, client, kubelet); err != nil {
		return err
	}
	body, err := get(ctx, client, c.controlPlane().server()+"/api/v1/nodes/"+c.nodeName())
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

// ctr runs containerd's own client in the namespace that the kubelet uses.
func (c cluster) ctr(ctx context.Context, bin binaries, args ...string) (string, error) {
	args = append([]string{"--address", c.socket(), "--namespace", containerdSpace}, args...)
	command := exec.CommandContext(ctx, bin["ctr"], args...)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problems.String()))
	}
	return string(output), nil
}
