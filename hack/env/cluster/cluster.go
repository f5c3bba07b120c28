//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Where every cluster keeps its folder. What is under runRoot does not outlive a reboot.
const (
	stateRoot = "/var/lib/workspace-jobs"
	runRoot   = "/run/workspace-jobs"
)

// The addresses of a cluster come from 198.18.0.0/15, which no network uses (RFC 2544):
// slot 3 is 198.18.3.0/24, the host .1 and the node .2. Those of pods and Services
// exist only in the cluster's own network namespace, so they are the same in each.
const (
	maxSlots        = 16
	podSubnet       = "10.244.0.0/16"
	serviceSubnet   = "10.96.0.0/16"
	firstServiceIP  = "10.96.0.1"
	dnsServiceIP    = "10.96.0.10"
	apiServerPort   = 6443
	kubeletPort     = 10250
	etcdPort        = 2379
	etcdPeerPort    = 2380
	pauseImage      = "localhost/workspace-jobs/pause:dev"
	dnsImage        = "localhost/workspace-jobs/coredns:dev"
	registryOfNone  = "https://127.0.0.1:1" // a closed port: pulls fail at once and on this machine
	defaultName     = "dev"
	kubeconfigFile  = "kubeconfig"
	containerdSpace = "k8s.io"
)

// These are short, since a shim's socket path may have no more than about a hundred bytes.
var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,14}[a-z0-9])?$`)

// cluster is one Kubernetes with a node: its name says where its files are, its slot
// which addresses it has.
type cluster struct {
	name string
	slot int
}

func (c cluster) state(path ...string) string {
	return filepath.Join(append([]string{stateRoot, c.name}, path...)...)
}

func (c cluster) run(path ...string) string {
	return filepath.Join(append([]string{runRoot, c.name}, path...)...)
}

func (c cluster) hostAddress() string { return fmt.Sprintf("198.18.%d.1", c.slot) }
func (c cluster) nodeAddress() string { return fmt.Sprintf("198.18.%d.2", c.slot) }
func (c cluster) hostDevice() string  { return fmt.Sprintf("wsj%d", c.slot) }
func (c cluster) nodeName() string    { return c.name + "-node" }
func (c cluster) netns() string       { return c.run("netns") }
func (c cluster) socket() string      { return c.run("containerd.sock") }
func (c cluster) cniNetwork() string  { return "workspace-jobs-" + c.name }
func (c cluster) cgroup() string      { return "workspace-jobs-" + c.name }
func (c cluster) kubeconfig() string  { return c.state(kubeconfigFile) }

func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("--name %q: use 1 to 16 lower-case letters, digits and '-', beginning with a letter", name)
	}
	return nil
}

// find returns the cluster of that name, or fs.ErrNotExist.
func find(name string) (cluster, error) {
	if err := checkName(name); err != nil {
		return cluster{}, err
	}
	text, err := os.ReadFile(filepath.Join(stateRoot, name, "slot"))
	if err != nil {
		return cluster{}, err
	}
	slot, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || slot < 0 || slot >= maxSlots {
		return cluster{}, fmt.Errorf("%s does not hold a slot: remove the folder with `cluster down --name %s`",
			filepath.Join(stateRoot, name, "slot"), name)
	}
	return cluster{name: name, slot: slot}, nil
}

// findUp is find for commands that need a cluster that exists.
func findUp(name string) (cluster, error) {
	if err := checkHost(); err != nil {
		return cluster{}, err
	}
	c, err := find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("there is no cluster %q: create it with `cluster up --name %s`", name, name)
	}
	return c, err
}

// claim returns the cluster of that name, and gives it the first free slot if it is new.
// The caller holds the lock.
func claim(name string) (cluster, error) {
	c, err := find(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	taken := map[int]bool{}
	entries, err := os.ReadDir(stateRoot)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	for _, entry := range entries {
		if other, err := find(entry.Name()); err == nil {
			taken[other.slot] = true
		}
	}
	slot := firstFree(taken)
	if slot < 0 {
		return c, fmt.Errorf("%d clusters exist already: take one down first", maxSlots)
	}
	c = cluster{name: name, slot: slot}
	if err := os.MkdirAll(c.state(), 0o700); err != nil {
		return c, err
	}
	return c, os.WriteFile(c.state("slot"), []byte(strconv.Itoa(slot)+"\n"), 0o600)
}

func firstFree(taken map[int]bool) int {
	for slot := range maxSlots {
		if !taken[slot] {
			return slot
		}
	}
	return -1
}
