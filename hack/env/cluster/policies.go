//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// kubeRouterArgs have kube-router enforce NetworkPolicies and do nothing else: routes are
// those of the bridge, and Services are kube-proxy's.
func (c cluster) kubeRouterArgs() []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig(),
		"--hostname-override=" + c.nodeName(),
		"--run-firewall=true",
		"--run-router=false",
		"--run-service-proxy=false",
		"--enable-cni=false",
		"--service-cluster-ip-range=" + serviceSubnet,
		"--health-port=0",
	}
}

// policiesEnforced checks for the chain through which kube-router sends what pods send. Its
// rules and sets of addresses go with the network namespace.
func (c cluster) policiesEnforced(ctx context.Context) error {
	return inNamespace(c.netns(), func() error {
		output, err := exec.CommandContext(ctx, "iptables", "-w", "-n", "-L", "KUBE-ROUTER-FORWARD").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
		}
		return nil
	})
}
