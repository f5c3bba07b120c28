//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writeNodeConfigs writes what containerd, the CNI plugins, the kubelet and kube-proxy read.
func (c cluster) writeNodeConfigs(cniPlugins string) error {
	hosts := c.state("registries", "_default", "hosts.toml")
	kubelet, err := json.MarshalIndent(c.kubeletConfig(), "", "  ")
	if err != nil {
		return err
	}
	network, err := json.MarshalIndent(c.cniConfig(), "", "  ")
	if err != nil {
		return err
	}
	files := map[string]string{
		c.state("containerd.toml"):                       c.containerdConfig(cniPlugins),
		c.state("kubelet.json"):                          string(kubelet),
		c.state("cni", "10-"+c.cniNetwork()+".conflist"): string(network),
		hosts: fmt.Sprintf("server = %q\n", registryOfNone),
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// containerdConfig keeps all files of containerd under the cluster's own folders, so
// that `down` finds them.
//
//   - opt and nri would make folders elsewhere.
//   - restrict_oom_score_adj: a machine that withholds CAP_SYS_RESOURCE, as many
//     containers do, could start no sandbox.
//   - registries: no pull may leave this machine, and one that can't succeed has to fail
//     at once.
func (c cluster) containerdConfig(cniPlugins string) string {
	return fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]

[grpc]
  address = %[3]q
[ttrpc]
  address = %[4]q

[plugins."io.containerd.shim.v1.manager"]
  socket_dir = %[5]q
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %[6]q
[plugins."io.containerd.cri.v1.images".registry]
  config_path = %[7]q
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  Root = %[8]q
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [%[9]q]
  conf_dir = %[10]q
`, c.state("containerd"), c.run("containerd"), c.socket(), c.socket()+".ttrpc", c.run("s"), pauseImage,
		c.state("registries"), c.run("runc"), cniPlugins, c.state("cni"))
}

func (c cluster) cniConfig() map[string]any {
	return map[string]any{
		"cniVersion": "1.0.0",
		"name":       c.cniNetwork(),
		"plugins": []map[string]any{{
			"type": "bridge", "bridge": "pods0",
			"isGateway": true, "ipMasq": true, "hairpinMode": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"ranges":  [][]map[string]string{{{"subnet": podSubnet}}},
				"routes":  []map[string]string{{"dst": "0.0.0.0/0"}},
				"dataDir": c.run("cni-addresses"),
			},
		}},
	}
}

// kubeletConfig is a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that fits a
// developer's machine: any cgroup version, swap or none, a disk that may be nearly full.
func (c cluster) kubeletConfig() map[string]any {
	return map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  c.nodeAddress(),
		"port":                     kubeletPort,
		"healthzBindAddress":       "127.0.0.1",
		"containerRuntimeEndpoint": "unix://" + c.socket(),
		"podLogsDir":               c.state("pod-logs"),
		"volumePluginDir":          c.state("volume-plugins"),
		"tlsCertFile":              c.state("pki", "kubelet.crt"),
		"tlsPrivateKeyFile":        c.state("pki", "kubelet.key"),
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": c.state("pki", "ca.crt")},
		},
		"authorization": map[string]any{"mode": "Webhook"},

		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             "/" + c.cgroup(),
		"enforceNodeAllocatable": []string{},
		"failCgroupV1":           false,
		"failSwapOn":             false,

		"maxPods":                     250,
		"clusterDNS":                  []string{dnsServiceIP},
		"clusterDomain":               "cluster.local",
		"resolvConf":                  "",
		"evictionHard":                map[string]string{"memory.available": "100Mi"},
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"eventRecordQPS":              0, // no limit
		"kubeAPIQPS":                  200,
		"kubeAPIBurst":                400,
	}
}

func (c cluster) kubeletArgs() []string {
	return []string{
		"--config=" + c.state("kubelet.json"),
		"--kubeconfig=" + c.state("kubelet.kubeconfig"),
		"--root-dir=" + c.state("kubelet"),
		"--hostname-override=" + c.nodeName(),
		"--node-ip=" + c.nodeAddress(),
	}
}

// kubeProxyArgs leaves the limit of tracked connections alone, which is the machine's and not
// the cluster's.
func (c cluster) kubeProxyArgs() []string {
	return []string{
		"--kubeconfig=" + c.state("proxy.kubeconfig"),
		"--hostname-override=" + c.nodeName(),
		"--proxy-mode=iptables",
		"--cluster-cidr=" + podSubnet,
		"--conntrack-max-per-core=0",
		"--healthz-bind-address=127.0.0.1:" + strconv.Itoa(10256),
		"--metrics-bind-address=127.0.0.1:" + strconv.Itoa(10249),
	}
}
