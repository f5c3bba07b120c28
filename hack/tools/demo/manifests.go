package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// overlay patches the samples. They name a database server and a billing system that don't exist
// here; the overlay replaces them with the demo's own, as a user's would.
func (d *demo) overlay() string { return filepath.Join(d.root, "dist", "demo") }

func (d *demo) overlayName(part string) string { return filepath.Join("dist", "demo", part) }

func (d *demo) writeOverlays() error {
	workspaces := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../../config/samples/workspaces
patches:
- target: {kind: Workspace}
  patch: |
    - op: replace
      path: /spec/database/egress/0
      value: {to: [{ipBlock: {cidr: %[1]s/32}}], ports: [{port: %[2]d}]}
- target: {kind: Workspace, name: acme}
  patch: |
    - op: replace
      path: /spec/network/egress/0
      value: {to: [{ipBlock: {cidr: %[1]s/32}}], ports: [{port: %[3]d}]}
    - op: add
      path: /spec/members/-
      value: {role: Editor, subjects: [{kind: ServiceAccount, name: %[4]s, namespace: workspace-acme}]}
`, d.host, d.port, d.source.port, editorAccount)
	jobs := fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../../config/samples/jobs
patches:
- target: {kind: WorkspaceJob, name: sync-plans}
  patch: |
    - op: replace
      path: /spec/args/url
      value: %[1]s/plans
- target: {kind: WorkspaceJob, name: sync-prices}
  patch: |
    - op: replace
      path: /spec/args/url
      value: %[1]s/prices
`, d.source.url())
	for part, text := range map[string]string{"workspaces": workspaces, "jobs": jobs} {
		folder := filepath.Join(d.overlay(), part)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
