// Package attacks tries the ways in which tenants of other operators escaped from their
// namespace or forged a status, against this operator on a real API server with a
// simulated node. Each test fails if the defense that it tests is removed.
package attacks
