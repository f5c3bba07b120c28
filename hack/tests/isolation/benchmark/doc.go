// Package benchmark holds no code but its tests. They ask what the multi-tenancy
// benchmark of Kubernetes' working group asks, of a real API server on which the
// operator runs, and write docs/isolation-benchmark.md of what they see.
//
// The benchmark's own tool takes any error for a pass, and needs a tenant who may
// make pods. Here each refusal is told by who refuses and why, beside a request that
// differs in nothing else and is accepted. Each row is tried three times: by a
// workspace's members, by somebody whom a cluster admin let make pods in its
// namespace, and through the kinds that members may write.
package benchmark
