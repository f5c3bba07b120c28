//go:build linux

package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// dnsManifest is CoreDNS as a pod in kube-system, where NetworkPolicies expect it.
//
//go:embed dns.yaml
var dnsManifest string

// startDNS starts CoreDNS and waits until it answers.
func (c cluster) startDNS(ctx context.Context, bin binaries) error {
	say("starting DNS")
	manifest := c.state("dns.yaml")
	text := strings.NewReplacer("$IMAGE", dnsImage, "$ADDRESS", dnsServiceIP).Replace(dnsManifest)
	if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-f", manifest},
		{"-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=" + readyWithin.String()},
	} {
		command := exec.CommandContext(ctx, bin["kubectl"], append([]string{"--kubeconfig", c.kubeconfig()}, args...)...)
		command.Env = append(os.Environ(), "NO_PROXY="+os.Getenv("NO_PROXY")+","+c.nodeAddress())
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("start DNS: kubectl %s: %w: %s", strings.Join(args, " "), err, output)
		}
	}
	return nil
}
