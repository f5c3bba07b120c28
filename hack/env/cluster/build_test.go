//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSourcesArePinned(t *testing.T) {
	cache := t.TempDir()
	for _, s := range sources() {
		t.Run(s.folder, func(t *testing.T) {
			p, err := pin(s, ".", cache, "go1.26")
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join("build", s.folder, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range s.commands {
				if s.own {
					continue // its imports keep what it needs
				}
				// Without its line in the tool block, go mod tidy would drop what it needs.
				if !strings.Contains(string(text), "\t"+s.importPath(c)+"\n") && !strings.Contains(string(text), "tool "+s.importPath(c)+"\n") {
					t.Errorf("%s is not a tool of %s/go.mod", s.importPath(c), p.modules)
				}
			}
			other, err := pin(s, ".", cache, "go1.27")
			if err != nil {
				t.Fatal(err)
			}
			if p.cache == other.cache {
				t.Error("another Go has the same place in the cache")
			}
			if !strings.Contains(p.cache, p.version) {
				t.Errorf("%s does not show its version, %s", p.cache, p.version)
			}
		})
	}
}

func TestStagingModulesFit(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("build", "kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version, err := moduleVersion(string(text), "k8s.io/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	staging := "v0" + strings.TrimPrefix(version, "v1")
	count := 0
	for line := range strings.Lines(string(text)) {
		name, target, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			continue
		}
		count++
		if target != name+" "+staging {
			t.Errorf("%s is replaced by %s, want version %s", name, target, staging)
		}
	}
	if count < 30 {
		t.Errorf("only %d modules are replaced", count)
	}
}

func TestOnlyWhatIsUsedIsBuilt(t *testing.T) {
	for purpose, want := range map[use]string{
		noNode: "etcd kube-apiserver kube-controller-manager kubectl",
		realNode: "etcd kube-apiserver kube-controller-manager kubectl kube-scheduler kubelet kube-proxy " +
			"containerd containerd-shim-runc-v2 ctr kube-router coredns",
	} {
		var names []string
		for _, s := range sources() {
			for _, c := range (pinned{source: s}).wanted(purpose) {
				names = append(names, c.name)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestModuleVersion(t *testing.T) {
	const text = "module x\n\nrequire a.io/b v1.2.3\n\nrequire (\n\tc.io/d/v2 v2.0.1 // indirect\n\tc.io/d v1.9.0\n)\n"
	for module, want := range map[string]string{"a.io/b": "v1.2.3", "c.io/d/v2": "v2.0.1", "c.io/d": "v1.9.0", "e.io/f": ""} {
		got, err := moduleVersion(text, module)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", module, got, err)
		}
	}
}

func TestOutputName(t *testing.T) {
	for pkg, want := range map[string]string{
		"k8s.io/kubernetes/cmd/kubelet": "kubelet",
		"go.etcd.io/etcd/server/v3":     "server",
		"example.com/v":                 "v",
		"example.com/vex":               "vex",
	} {
		if got := outputName(pkg); got != want {
			t.Errorf("%s: got %s, want %s", pkg, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	p := &progress{}
	p.read(strings.NewReader("go: downloading a.io/b v1.0.0\na.io/b\na.io/b/c\n# a.io/b/c\nfile.go:1:2: wrong\n"))
	if p.downloads.Load() != 1 || p.packages.Load() != 2 {
		t.Errorf("counted %d downloads and %d packages", p.downloads.Load(), p.packages.Load())
	}
	if got := p.problems(); got != "# a.io/b/c\nfile.go:1:2: wrong" {
		t.Errorf("problems: %q", got)
	}
}
