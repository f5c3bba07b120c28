// Package attacks holds tests of ways in which tenants of other operators got out of
// their namespace or into somebody's status, each tried against this one: the operator
// at work on a real API server with a simulated node. A test here goes red if what
// keeps the attacker out is taken away.
package attacks
