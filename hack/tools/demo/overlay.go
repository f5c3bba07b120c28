package main

import (
	"context"
	"embed"
	"os"
	"path/filepath"
	"text/template"
)

// overlayDir holds kustomize overlays over config/, as a user would write them: the samples
// name a database server and a billing system that do not exist here.
const overlayDir = "dist/demo"

//go:embed overlays
var overlays embed.FS

// overlay holds the values that the overlays need.
type overlay struct {
	Host        string // address of this machine that pods can reach
	Port        int    // of PostgreSQL on it
	BillingPort int    // of the billing system on it
}

// apply applies an overlay.
func (d *demo) apply(ctx context.Context, name string) error {
	folder := filepath.Join(overlayDir, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	text, err := template.ParseFS(overlays, "overlays/"+name+".yaml")
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(folder, "kustomization.yaml"))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := text.Execute(file, d.overlay); err != nil {
		return err
	}
	return kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", folder)
}
