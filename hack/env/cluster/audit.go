//go:build linux

package main

import "os"

// auditPolicy has the API server log what programs in pods request, and what other users
// write, but no request bodies, which may hold secrets, and nothing of Kubernetes' own parts,
// which would fill the log.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system", "system:nodes"]
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// auditArgs returns the API server's arguments for the audit log.
func (c cluster) auditArgs() []string {
	return []string{
		"--audit-policy-file=" + c.state("audit-policy.yaml"),
		"--audit-log-path=" + c.auditLog(),
		"--audit-log-maxsize=1000", // MB; a cluster is gone before the log is full
	}
}

func (c cluster) auditLog() string { return c.state("logs", "audit.log") }

func (c cluster) writeAuditPolicy() error {
	return os.WriteFile(c.state("audit-policy.yaml"), []byte(auditPolicy), 0o600)
}
