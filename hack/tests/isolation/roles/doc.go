// Package roles holds no code but its tests. They ask a real API server, of every
// resource, subresource and verb that it serves, what a workspace's members may do:
// in the workspace's own namespace, in every other one and cluster-wide. From the
// answers they keep the tables of docs/roles.md true, and whatever that page says,
// they fail when a role lets through what no role may.
//
//	make cluster-tool
//	CLUSTER=$PWD/bin/cluster go test ./hack/tests/isolation/roles           # compare the page
//	CLUSTER=$PWD/bin/cluster go test ./hack/tests/isolation/roles -update   # write it
package roles
