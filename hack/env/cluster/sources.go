//go:build linux

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// source is a module that commands are built from. Its version is the one that
// build/<folder>/go.mod requires, and nowhere else.
type source struct {
	folder   string
	title    string
	module   string
	hint     string // how long a first build takes
	commands []command
	// own says that the command is the main package next to go.mod, which imports what it
	// needs of the module.
	own bool
	// stamp returns the linker variables that set a command's version.
	stamp func(version string) []string
}

// command is a binary: the package it is made of, below the source's module.
type command struct {
	name string
	pkg  string
	uses use
}

// use says what a cluster is for, and so which commands it needs. A command has a set of them.
type use int

const (
	// realNode is for `up`.
	realNode use = 1 << iota
	// noNode is for `run --control-plane`.
	noNode
)

// ownModules is the path of the modules in build/.
const ownModules = "github.com/openradius/workspace-jobs/hack/env/cluster/build"

func (s source) importPath(c command) string {
	if s.own {
		return path.Join(ownModules, s.folder)
	}
	return path.Join(s.module, c.pkg)
}

func sources() []source {
	return []source{
		{
			folder: "etcd", title: "etcd", module: "go.etcd.io/etcd/server/v3", hint: "about 15 seconds on 2 cores",
			commands: []command{{name: "etcd", uses: realNode | noNode}},
		},
		{
			folder: "kubernetes", title: "Kubernetes", module: "k8s.io/kubernetes", hint: "about 6 minutes on 2 cores",
			stamp: kubernetesStamp,
			commands: []command{
				{name: "kube-apiserver", pkg: "cmd/kube-apiserver", uses: realNode | noNode},
				{name: "kube-controller-manager", pkg: "cmd/kube-controller-manager", uses: realNode | noNode},
				{name: "kubectl", pkg: "cmd/kubectl", uses: realNode | noNode},
				{name: "kube-scheduler", pkg: "cmd/kube-scheduler", uses: realNode},
				{name: "kubelet", pkg: "cmd/kubelet", uses: realNode},
				{name: "kube-proxy", pkg: "cmd/kube-proxy", uses: realNode},
			},
		},
		{
			folder: "containerd", title: "containerd", module: "github.com/containerd/containerd/v2", hint: "about a minute on 2 cores",
			commands: []command{
				{name: "containerd", pkg: "cmd/containerd", uses: realNode},
				{name: "containerd-shim-runc-v2", pkg: "cmd/containerd-shim-runc-v2", uses: realNode},
				{name: "ctr", pkg: "cmd/ctr", uses: realNode},
			},
		},
		{
			folder: "kube-router", title: "kube-router", module: "github.com/cloudnativelabs/kube-router/v2", hint: "about 2 minutes on 2 cores",
			commands: []command{{name: "kube-router", pkg: "cmd/kube-router", uses: realNode}},
		},
		{
			folder: "coredns", title: "CoreDNS", module: "github.com/coredns/coredns", hint: "about a minute on 2 cores", own: true,
			commands: []command{{name: "coredns", uses: realNode}},
		},
	}
}

// kubernetesStamp makes the API server report its version, not v0.0.0.
func kubernetesStamp(version string) []string {
	numbers := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const variable = "k8s.io/component-base/version."
	return []string{
		"-X", variable + "gitVersion=" + version,
		"-X", variable + "gitMajor=" + numbers[0],
		"-X", variable + "gitMinor=" + numbers[1],
		"-X", variable + "gitTreeState=clean",
	}
}

// sourceFolder is hack/env/cluster, where the go.mod files of what is built are. It is
// searched for from the current folder upwards, then from this program's folder.
func sourceFolder() (string, error) {
	var starts []string
	if here, err := os.Getwd(); err == nil {
		starts = append(starts, here)
	}
	if self, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(self))
	}
	for _, start := range starts {
		for at := start; ; at = filepath.Dir(at) {
			for _, folder := range []string{at, filepath.Join(at, "hack", "env", "cluster")} {
				if _, err := os.Stat(filepath.Join(folder, "build", "kubernetes", "go.mod")); err == nil {
					return folder, nil
				}
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return "", errors.New("hack/env/cluster is not found from here: run this inside the repository")
}

// moduleVersion reads the version that a go.mod requires of a module.
func moduleVersion(goMod, module string) (string, error) {
	line := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(module) + `\s+(v\S+)`)
	found := line.FindStringSubmatch(goMod)
	if found == nil {
		return "", fmt.Errorf("no version of %s is required", module)
	}
	return found[1], nil
}

// pinned is a source with its version, and the folder in the cache for what is built
// of it: another for each set of module versions, Go version and processor.
type pinned struct {
	source
	version string
	modules string // the folder with its go.mod
	cache   string
}

func pin(s source, sourceFolder, cacheFolder, goVersion string) (pinned, error) {
	p := pinned{source: s, modules: filepath.Join(sourceFolder, "build", s.folder)}
	sum := sha256.New()
	fmt.Fprintln(sum, goVersion, runtime.GOARCH)
	files := []string{"go.mod", "go.sum"}
	if s.own {
		files = append(files, "main.go")
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(p.modules, file))
		if err != nil {
			return p, err
		}
		sum.Write(text)
		if file == "go.mod" {
			if p.version, err = moduleVersion(string(text), s.module); err != nil {
				return p, fmt.Errorf("%s/go.mod: %w", p.modules, err)
			}
		}
	}
	p.cache = filepath.Join(cacheFolder, fmt.Sprintf("%s-%s-%x", s.folder, p.version, sum.Sum(nil)[:4]))
	return p, nil
}
