// Package benchmark runs the checks of the multi-tenancy benchmark of Kubernetes' working
// group on a real API server with the operator, and writes what it finds to
// docs/isolation-benchmark.md.
//
// The benchmark's own tool counts any error as a pass, and needs a tenant who may create
// pods. Here each refusal must come from the right place for the right reason, and a
// request that differs in nothing else must be accepted. Each check is tried three times:
// by a workspace's members, by a user to whom a cluster admin allowed to create pods in its
// namespace, and through the kinds that members may write.
package benchmark
