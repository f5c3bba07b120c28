// Command argocd generates config/argocd/argocd-cm.yaml from the Lua files next to it, or checks
// that it is up to date. Kustomize can't do that: Argo CD expects all actions of a kind in one
// key, as YAML that contains the files.
//
//	go -C hack/tests/argocd run . [-update]
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const (
	// folder is where the Lua files and the generated file are, relative to this module.
	folder = "../../../config/argocd"
	group  = "jobs.openradius.io"
	output = "argocd-cm.yaml"
	header = "# Generated from the Lua files next to it by `make generate`.\n"
)

func main() {
	update := flag.Bool("update", false, "write the file instead of checking it")
	flag.Parse()
	if err := run(*update); err != nil {
		fmt.Fprintln(os.Stderr, "argocd:", err)
		os.Exit(1)
	}
}

func run(update bool) error {
	fresh, err := render(os.DirFS(folder))
	if err != nil {
		return err
	}
	path := filepath.Join(folder, output)
	if update {
		return os.WriteFile(path, fresh, 0o644)
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(fresh, committed) {
		return fmt.Errorf("config/argocd/%s is stale: run `make generate`", output)
	}
	return nil
}

type configMap struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Data       map[string]string `json:"data"`
}

// actions is what Argo CD reads from a key resource.customizations.actions.*.
type actions struct {
	Discovery   string       `json:"discovery.lua"`
	Definitions []definition `json:"definitions"`
}

type definition struct {
	Name   string `json:"name"`
	Action string `json:"action.lua"`
}

// render generates the ConfigMap from files that are laid out like Argo CD's own
// resource_customizations: <group>/<kind>/health.lua, actions/discovery.lua and
// actions/<name>/action.lua.
func render(files fs.FS) ([]byte, error) {
	kinds, err := fs.ReadDir(files, group)
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for _, kind := range kinds {
		below, err := fs.Sub(files, group+"/"+kind.Name())
		if err != nil {
			return nil, err
		}
		health, err := fs.ReadFile(below, "health.lua")
		if err != nil {
			return nil, err
		}
		actions, err := renderActions(below)
		if err != nil {
			return nil, err
		}
		name := group + "_" + kind.Name()
		data["resource.customizations.health."+name] = string(health)
		data["resource.customizations.actions."+name] = string(actions)
	}
	document, err := yaml.Marshal(configMap{"v1", "ConfigMap", map[string]string{"name": "argocd-cm"}, data})
	return append([]byte(header), document...), err
}

func renderActions(kind fs.FS) ([]byte, error) {
	discovery, err := fs.ReadFile(kind, "actions/discovery.lua")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(kind, "actions/*/action.lua")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("a kind without actions")
	}
	all := actions{Discovery: string(discovery)}
	for _, name := range names {
		script, err := fs.ReadFile(kind, name)
		if err != nil {
			return nil, err
		}
		action := filepath.Base(filepath.Dir(name))
		all.Definitions = append(all.Definitions, definition{action, string(script)})
	}
	return yaml.Marshal(all)
}
