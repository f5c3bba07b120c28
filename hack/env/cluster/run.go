//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

type runOptions struct {
	folder            string
	controllerManager bool
}

// run runs a control plane in the foreground, for tests: everything on loopback, in one
// folder, and gone when ctx ends. It calls ready once all of it is
// ready.
func run(ctx context.Context, options runOptions, ready func(plane controlPlane, kubeconfig string)) error {
	bin, err := build(ctx, noNode)
	if err != nil {
		return err
	}
	folder, err := runFolder(options.folder)
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	plane, release, err := reservePlane(folder)
	if err != nil {
		return err
	}
	defer release()
	if err := makePKI(plane.pki, time.Now(), identities(plane.address, "")); err != nil {
		return err
	}
	if err := plane.writeKubeconfigs("controller-manager"); err != nil {
		return err
	}
	kubeconfig := filepath.Join(folder, kubeconfigFile)
	if err := writeKubeconfig(kubeconfig, "control-plane", plane.server(), plane.pki, "admin"); err != nil {
		return err
	}
	client, err := newAdminClient(plane.pki)
	if err != nil {
		return err
	}
	parts := plane.foregroundComponents(bin, client, options)
	return runParts(ctx, parts, func() { ready(plane, kubeconfig) })
}

func runFolder(wanted string) (string, error) {
	if wanted == "" {
		return os.MkdirTemp("", "workspace-jobs-control-plane-")
	}
	folder, err := filepath.Abs(wanted)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		return "", fmt.Errorf("--dir %s is not empty, and it would be removed at the end", folder)
	}
	return folder, err
}

func (c controlPlane) foregroundComponents(bin binaries, client *http.Client, options runOptions) []component {
	part := func(name string, args []string, ready func(context.Context) error) component {
		return component{process: process{
			name: name, path: bin[name], args: args, log: filepath.Join(c.kubeconfigs, name+".log"), diesWithUs: true,
		}, ready: ready}
	}
	at := func(url string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := get(ctx, client, c.server()+url); return err }
	}
	parts := []component{
		part("etcd", c.etcdArgs(), nil),
		part("kube-apiserver", c.apiServerArgs(), at("/readyz")),
	}
	if options.controllerManager {
		// Tests may play a node, which sends no heartbeats: the controller would delete its pods.
		// Or they play the kubelet of a pod that is on no node: once it is asked to stop, the
		// pods' garbage collector would end it within 20 seconds.
		args := append(c.controllerManagerArgs(), "--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller")
		// Pods can be created once their namespace's service account exists.
		parts = append(parts, part("kube-controller-manager", args,
			at("/api/v1/namespaces/default/serviceaccounts/default")))
	}
	return parts
}

// runParts runs the components until ctx ends or one of them does.
func runParts(ctx context.Context, parts []component, ready func()) error {
	all, err := bringUp(ctx, parts, start)
	if ctx.Err() != nil {
		err = nil // asked to stop before all was ready
	}
	if err != nil {
		return err
	}
	defer stopStarted(all)
	if ctx.Err() == nil {
		ready()
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := anyEnded(all); err != nil {
				return err
			}
		}
	}
}

// untilEOF ends the context when there is no more input: the parent process is gone.
func untilEOF(ctx context.Context, input io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel(errors.New("the end of the input"))
	}()
	return ctx
}

// reservePlane chooses free ports and holds them: each is bound here, but not listened
// on, with SO_REUSEPORT, which the components set too. So no other process can get
// one of them in between, and several control planes can start at once.
func reservePlane(folder string) (controlPlane, func(), error) {
	plane := controlPlane{
		pki: filepath.Join(folder, "pki"), data: filepath.Join(folder, "etcd"), kubeconfigs: folder,
		address: "127.0.0.1", reservedPorts: true,
	}
	var sockets []int
	release := func() {
		for _, socket := range sockets {
			_ = unix.Close(socket)
		}
	}
	for _, port := range []*int{&plane.port, &plane.etcdPort, &plane.etcdPeerPort} {
		socket, number, err := reservePort()
		if err != nil {
			release()
			return plane, nil, err
		}
		sockets = append(sockets, socket)
		*port = number
	}
	return plane, release, nil
}

func reservePort() (socket, port int, err error) {
	socket, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	if err = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
		err = unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var bound unix.Sockaddr
	if err == nil {
		bound, err = unix.Getsockname(socket)
	}
	if err != nil {
		_ = unix.Close(socket)
		return 0, 0, fmt.Errorf("reserve a port: %w", err)
	}
	return socket, bound.(*unix.SockaddrInet4).Port, nil
}
