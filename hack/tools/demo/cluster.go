package main

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func (d *demo) startCluster(ctx context.Context) error {
	if err := show(ctx, tool, "up", "--name", "demo"); err != nil {
		return err
	}
	kubeconfig, err := output(ctx, "kubeconfig", "--name", "demo")
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.Proxy = noProxy
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if d.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	d.overlay.Host, err = output(ctx, "host-address", "--name", "demo")
	return err
}

// deploy does what a user does. It replaces what an earlier demo left: pods, so that they run
// the images made now, and tenants, so that each demo begins the same.
func (d *demo) deploy(ctx context.Context) error {
	if err := show(ctx, "make", "images"); err != nil {
		return err
	}
	if err := show(ctx, tool, "load", "--name", "demo", "dist/manager.tar", "dist/runner.tar", "dist/server.tar"); err != nil {
		return err
	}
	if err := kubectl(ctx, "-n", "workspace-jobs-system", "delete", "pods", "--all"); err != nil {
		return err
	}
	if err := show(ctx, "make", "deploy", "KUBECTL=bin/cluster kubectl --name demo"); err != nil {
		return err
	}
	for _, tenant := range tenants {
		if err := kubectl(ctx, "delete", "workspace", tenant, "--ignore-not-found", "--timeout=3m"); err != nil {
			return err
		}
		if err := kubectl(ctx, "wait", "namespace/workspace-"+tenant, "--for=delete", "--timeout=3m"); err != nil {
			return err
		}
	}
	return nil
}

// makeTenants applies the Workspaces, and gives each its database's URL.
func (d *demo) makeTenants(ctx context.Context) error {
	if err := d.startBilling(ctx); err != nil {
		return err
	}
	if err := d.apply(ctx, "workspaces"); err != nil {
		return err
	}
	for _, tenant := range tenants {
		namespace := "workspace-" + tenant
		if err := kubectl(ctx, "wait", "namespace/"+namespace, "--for=create", "--timeout=1m"); err != nil {
			return err
		}
		secret := &corev1.Secret{StringData: map[string]string{"url": d.urls[tenant]}}
		secret.Name, secret.Namespace = "database", namespace
		account := &corev1.ServiceAccount{}
		account.Name, account.Namespace = editor, namespace
		if err := errors.Join(d.client.Create(ctx, secret), d.client.Create(ctx, account)); err != nil {
			return err
		}
	}
	if err := kubectl(ctx, "wait", "workspaces", "--all", "--for=condition=Ready", "--timeout=3m"); err != nil {
		return err
	}
	return kubectl(ctx, "get", "workspaces")
}
