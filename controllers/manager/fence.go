package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/controllers/fence"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

// +kubebuilder:rbac:groups=apps,resources=deployments,namespace=workspace-jobs-system,verbs=get,resourceNames=workspace-jobs-manager

// deployment is the name of the operator's own Deployment, in [fence.Namespace]. Its image is the one that the
// admission policies allow for the check of the fence.
const deployment = "workspace-jobs-manager"

// ownImage reads the image that the operator's Deployment has, or returns "" if there is
// none, because the operator runs outside the cluster.
func ownImage(ctx context.Context, reader client.Reader) (string, error) {
	own := &appsv1.Deployment{}
	err := reader.Get(ctx, client.ObjectKey{Namespace: fence.Namespace, Name: deployment}, own)
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
	if err := flags.Parse(args); err != nil {
		return err
	}
	canary := fence.Canary{Host: fence.Host, Open: fence.OpenPort, Forbidden: fence.ForbiddenPort}
	return canary.Wait(ctx, *limit)
}
