// Package e2e has the end-to-end tests: the images of the operator and the runner,
// deployed as a user deploys them, on a Kubernetes with a real kubelet and with a real
// PostgreSQL. They need root on Debian, since hack/env/cluster does.
//
//	make test                                      # all tests, these among them
//	make cluster-tool images && go test ./hack/tests/e2e # these alone
//
// The cluster is named "e2e" and is created for each run. E2E_KEEP=1 keeps it for the next
// run, to work on a test without waiting for the cluster.
package e2e
