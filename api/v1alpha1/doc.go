// Package v1alpha1 is the API of Workspace Jobs: jobs.openradius.io/v1alpha1.
//
// Durations are Go durations ("90s", "1h30m"); times are RFC 3339. The schema refuses as
// much as a schema can, with messages that say what to write instead; there is no admission
// webhook.
//
// +kubebuilder:object:generate=true
// +groupName=jobs.openradius.io
package v1alpha1
