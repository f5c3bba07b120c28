// Command bench measures how much later a handler starts than the process of a raw
// Kubernetes Job with the same pod, on a cluster that has a ready workspace. It
// prints and judges nothing.
//
//	make demo && go run ./hack/bench --kubeconfig "$(bin/cluster kubeconfig --name demo)"
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// longest bounds all measurements together.
const longest = 15 * time.Minute

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "the cluster to measure on, with an admin's rights")
	namespace := flag.String("namespace", "workspace-acme", "a ready workspace's namespace")
	count := flag.Int("n", 10, "how many of each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := run(ctx, *kubeconfig, *namespace, max(*count, 1)); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, namespace string, count int) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	log.SetLogger(logr.Discard())
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

// measure alternates, so that a busy moment hits both alike.
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
	fmt.Printf("  a WorkspaceJob's handler   %s\n", spread(jobs))
	fmt.Printf("  a raw Job's process        %s\n", spread(raw))
	fmt.Printf("  the difference of medians  %s\n", (median(jobs) - median(raw)).Round(time.Millisecond))
	return nil
}

func spread(times []time.Duration) string {
	return fmt.Sprintf("%-8s (%s to %s)", median(times).Round(time.Millisecond),
		slices.Min(times).Round(time.Millisecond), slices.Max(times).Round(time.Millisecond))
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// printImages tells how large the product's images are, as the node reports it.
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
