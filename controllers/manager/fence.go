package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/controllers/fence"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,namespace=workspace-jobs-system,verbs=get,resourceNames=workspace-jobs-manager

const (
	// deployment is the name of the operator's own Deployment. Its image is the one that the admission policies
	// allow for the check of the fence.
	deployment = "workspace-jobs-manager"
	// namespaceFile names the namespace of the pod that a process runs in.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// usualNamespace is the operator's in config/default.
	usualNamespace = "workspace-jobs-system"
)

// ownNamespace returns the namespace of the operator's pod, or the usual one if it runs
// outside the cluster.
func ownNamespace() string {
	text, err := os.ReadFile(namespaceFile)
	if err != nil {
		return usualNamespace
	}
	return strings.TrimSpace(string(text))
}

// ownImage reads the image that the operator's Deployment has, or returns "" if there is
// none, because the operator runs outside the cluster.
func ownImage(ctx context.Context, reader client.Reader, namespace string) (string, error) {
	own := &appsv1.Deployment{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: deployment}, own)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the operator's own Deployment, for its image: %w", err)
	}
	return own.Spec.Template.Spec.Containers[0].Image, nil
}

// fenceCommands returns the programs in this image besides the operator itself, by name.
func fenceCommands() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		"serve-canary":                serveCanary,
		runnerjob.CommandWaitForFence: waitForFence,
	}
}

// exit ends the process. A failed check's error is the pod's termination message.
func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveCanary(ctx context.Context, args []string) error {
	if err := flag.NewFlagSet("manager serve-canary", flag.ContinueOnError).Parse(args); err != nil {
		return err
	}
	var listeners [2]net.Listener
	for i, port := range []int32{fence.OpenPort, fence.ForbiddenPort} {
		var err error
		if listeners[i], err = new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(int(port))); err != nil {
			return err
		}
	}
	return fence.Serve(ctx, listeners[0], listeners[1])
}

func waitForFence(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("manager "+runnerjob.CommandWaitForFence, flag.ContinueOnError)
	limit := flags.Duration("limit", 30*time.Second, "how long to wait until the network plugin enforces this pod's NetworkPolicies")
	host := flags.String("canary", fence.Host(usualNamespace), "the canary's name")
	if err := flags.Parse(args); err != nil {
		return err
	}
	canary := fence.Canary{Host: *host, Open: fence.OpenPort, Forbidden: fence.ForbiddenPort}
	return canary.Wait(ctx, *limit)
}
