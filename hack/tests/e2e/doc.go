// Package e2e holds the end-to-end tests: the operator's and the runner's images,
// deployed as a user deploys them, on a Kubernetes with a real kubelet and against
// a real PostgreSQL. They need root on Debian, since hack/env/cluster does.
//
//	make test                                      # all tests, these among them
//	make cluster-tool images && go test ./hack/tests/e2e # these alone
//
// The cluster is called "e2e" and is made for one run. E2E_KEEP=1 keeps it for the
// next one, so that a test can be worked on without waiting for it.
package e2e
