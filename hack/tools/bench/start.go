package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func startCommand(flags *flag.FlagSet) func(context.Context) error {
	kubeconfig := flags.String("kubeconfig", os.Getenv("KUBECONFIG"), "the cluster to measure on, with an admin's `rights`")
	namespace := flags.String("namespace", "workspace-acme", "a ready workspace's `namespace`")
	count := flags.Int("n", 10, "how many of each")
	return func(ctx context.Context) error {
		return measureStart(ctx, *kubeconfig, *namespace, max(*count, 1))
	}
}

func measureStart(ctx context.Context, kubeconfig, namespace string, count int) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	b := &bench{namespace: namespace, id: time.Now().Unix()}
	if b.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if b.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if err := b.measure(ctx, count); err != nil {
		return err
	}
	return b.printImages(ctx)
}

// measure alternates, so that a busy moment affects both alike.
func (b *bench) measure(ctx context.Context, count int) error {
	var jobs, raw []time.Duration
	for i := range count {
		took, err := b.workspaceJob(ctx, i)
		if err != nil {
			return err
		}
		jobs = append(jobs, took)
		if took, err = b.rawJob(ctx, i); err != nil {
			return err
		}
		raw = append(raw, took)
	}
	fmt.Printf("from create to start, median of %d (least to most):\n", count)
	fmt.Printf("  a WorkspaceJob's handler   %s\n", leastToMost(jobs))
	fmt.Printf("  a raw Job's process        %s\n", leastToMost(raw))
	fmt.Printf("  the difference of medians  %s\n", (median(jobs) - median(raw)).Round(time.Millisecond))
	return nil
}

func leastToMost(times []time.Duration) string {
	return fmt.Sprintf("%-8s (%s to %s)", median(times).Round(time.Millisecond),
		slices.Min(times).Round(time.Millisecond), slices.Max(times).Round(time.Millisecond))
}

// printImages prints how large the product's images are, as the node reports it.
func (b *bench) printImages(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := b.client.List(ctx, &nodes); err != nil {
		return err
	}
	sizes := map[string]int64{}
	for i := range nodes.Items {
		for _, image := range nodes.Items[i].Status.Images {
			for _, name := range image.Names {
				if strings.Contains(name, "workspace-jobs/") && !strings.Contains(name, "@") {
					sizes[name] = image.SizeBytes
				}
			}
		}
	}
	fmt.Println("images:")
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		fmt.Printf("  %-45s %.1f MB\n", name, float64(sizes[name])/1e6)
	}
	return nil
}
