// Package roles tests what a workspace's members may do. It asks a real API server about
// every resource, subresource and verb that it serves: in the workspace's own namespace,
// in others and cluster-wide. The tables of docs/roles.md are made of the answers. Whatever
// that page says, a test fails if a role allows what no role should.
//
//	make cluster-tool
//	CLUSTER=$PWD/bin/cluster go test ./hack/tests/isolation/roles           # compare the page
//	CLUSTER=$PWD/bin/cluster go test ./hack/tests/isolation/roles -update   # write it
package roles
