// Package policies tests config/policies: each policy should allow what the operator,
// Kubernetes' controllers and people have to do, and refuse the same with one thing wrong,
// with a message that says what.
package policies
