// Package v1alpha1 is the API of Workspace Jobs: jobs.openradius.io/v1alpha1.
//
// Durations are Go durations ("90s", "1h30m"); times are RFC 3339. What the
// schema can refuse it refuses, with a message that says what to write instead;
// there is no admission webhook.
//
// +kubebuilder:object:generate=true
// +groupName=jobs.openradius.io
package v1alpha1
