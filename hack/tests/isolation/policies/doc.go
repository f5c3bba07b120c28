// Package policies holds tests of config/policies: each guard rail lets pass what the
// operator, Kubernetes' controllers and people have to do, and refuses the same with one
// thing wrong, with a reason that tells what.
package policies
