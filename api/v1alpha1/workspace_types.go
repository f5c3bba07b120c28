package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkspaceSpec is what a platform admin sets for a tenant. Tenants can't write
// it.
//
// +kubebuilder:validation:XValidation:rule="has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",message="namespace can't change once the Workspace exists: create another Workspace for the other namespace"
type WorkspaceSpec struct {
	// Namespace of the workspace; "workspace-<name>" if unset. The operator makes
	// it, or adopts one that carries the label
	// jobs.openradius.io/workspace=<name>; it takes over no other.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'default' && !self.startsWith('kube-')",message="default and kube-* can't be a workspace's namespace"
	Namespace string `json:"namespace,omitempty"`

	// Database of the workspace.
	//
	// +required
	Database Database `json:"database"`

	// Runner says which image runs the workspace's jobs, and how.
	//
	// +required
	Runner Runner `json:"runner"`

	// Members may see or manage the workspace's jobs.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Members []Member `json:"members,omitempty"`

	// Concurrency is how many of the workspace's jobs are processing at once, at
	// most. Hangfire's default for a server is at most 20 too.
	//
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrency *int32 `json:"concurrency,omitempty"`

	// Suspend pauses the workspace's queue: no attempt starts. What is running goes
	// on, and schedules go on to enqueue their runs.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Retention says how long what has finished is kept.
	//
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// Quota is laid over the defaults of the namespace's ResourceQuota; see
	// docs/workspace.md for those.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=24
	// +kubebuilder:validation:XValidation:rule="self.all(k, type(self[k]) == int || size(string(self[k])) <= 8)",message="each must be a number, or a quantity such as 500m or 256Gi of at most 8 characters"
	Quota corev1.ResourceList `json:"quota,omitempty"`

	// Network of the runner pods.
	//
	// +optional
	Network *Network `json:"network,omitempty"`
}

// Retention of what has finished. docs/retention.md tells who deletes what and
// when.
type Retention struct {
	// Succeeded: a job that Succeeded or was Deleted goes this long after its end,
	// unless its own ttlAfterFinished says otherwise. Unset: it stays.
	//
	// +optional
	Succeeded *Duration `json:"succeeded,omitempty"`

	// Failed: the same for a job that Failed.
	//
	// +optional
	Failed *Duration `json:"failed,omitempty"`

	// Pods: an attempt's Job, its pod and so its log stay this long after its end,
	// or until its WorkspaceJob goes. What they told is in the WorkspaceJob's
	// status.
	//
	// +optional
	// +kubebuilder:default="168h"
	Pods *Duration `json:"pods,omitempty"`
}

// Database tells where the workspace's PostgreSQL database is.
type Database struct {
	// SecretRef points to the connection URL
	// ("postgres://role:password@host:5432/database"), in the workspace's
	// namespace. The operator never reads it: runner pods do.
	//
	// +required
	SecretRef SecretKeyRef `json:"secretRef"`

	// AllowSuperuser lets the URL's role be a superuser, or one that may become a
	// superuser or reach the server's files. Such a role can read and change the
	// databases of all other tenants on its server: set this only where the whole
	// server is this workspace's. See docs/database.md.
	//
	// +optional
	AllowSuperuser bool `json:"allowSuperuser,omitempty"`

	// Schema of the ledger in that database.
	//
	// +optional
	// +kubebuilder:default=hangfire
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('pg_') && self != 'public' && self != 'information_schema'",message="the ledger needs a schema of its own: not public, information_schema or pg_*"
	Schema string `json:"schema,omitempty"`

	// Egress that runner pods need to reach the database: Kubernetes'
	// NetworkPolicy egress rules. Runner pods reach nothing that neither this
	// nor network.egress allows, but DNS.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Egress []EgressRule `json:"egress"`
}

// SecretKeyRef names a key of a Secret in the workspace's namespace.
type SecretKeyRef struct {
	// Name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`

	// Key in the Secret.
	//
	// +optional
	// +kubebuilder:default=url
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// Runner says which image runs the workspace's jobs, and how.
type Runner struct {
	// Image that holds the handlers.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^\s]+$`
	Image string `json:"image"`

	// ImagePullPolicy: Always, IfNotPresent or Never.
	//
	// +optional
	// +kubebuilder:default=IfNotPresent
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets in the workspace's namespace.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Resources of each attempt's container, where the job sets none.
	//
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// Secrets of the workspace's namespace that handlers may read, each as a
	// folder of files: /var/run/workspace-jobs/secrets/<name>/<key>.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Secrets []string `json:"secrets,omitempty"`
}

// MemberRole is what a member may do.
//
// +kubebuilder:validation:Enum=Viewer;Editor;Admin
type MemberRole string

// Roles.
const (
	// RoleViewer sees jobs, their pods, logs and events.
	RoleViewer MemberRole = "Viewer"
	// RoleEditor also creates, changes and deletes jobs.
	RoleEditor MemberRole = "Editor"
	// RoleAdmin also sees the workspace's quota, network policies and role
	// bindings.
	RoleAdmin MemberRole = "Admin"
)

// MemberRoles from the least to the most.
func MemberRoles() []MemberRole { return []MemberRole{RoleViewer, RoleEditor, RoleAdmin} }

// Member gives a role in the workspace to users, groups or ServiceAccounts.
type Member struct {
	// Role in the workspace.
	//
	// +required
	Role MemberRole `json:"role"`
	// Subjects as in a RoleBinding.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Subjects []rbacv1.Subject `json:"subjects"`
}

// Workspace is a tenant: a namespace, its RBAC, and a PostgreSQL database.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ws,categories=openradius
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.status.namespace`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Database",type=string,JSONPath=`.status.conditions[?(@.type=="DatabaseReady")].reason`
// +kubebuilder:printcolumn:name="Enqueued",type=integer,JSONPath=`.status.jobs.enqueued`
// +kubebuilder:printcolumn:name="Processing",type=integer,JSONPath=`.status.jobs.processing`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.jobs.failed`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:selectablefield:JSONPath=`.status.namespace`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 53",message="a Workspace's name must be at most 53 characters long, so that its namespace can be called workspace-<name>"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="a Workspace's name must be a DNS label: lower-case letters, digits and '-'"
type Workspace struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what the tenant gets.
	// +required
	Spec WorkspaceSpec `json:"spec"`
	// Status is written by the operator.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status WorkspaceStatus `json:"status,omitempty"`
}

// NamespaceName is the namespace that the workspace has or will have.
func (w *Workspace) NamespaceName() string {
	if w.Spec.Namespace != "" {
		return w.Spec.Namespace
	}
	return "workspace-" + w.Name
}

// Limit is how many jobs may be processing at once.
func (w *Workspace) Limit() int32 {
	if w.Spec.Concurrency != nil {
		return *w.Spec.Concurrency
	}
	return defaultConcurrency
}

// defaultConcurrency is the schema's, for objects that were made before it had one.
const defaultConcurrency = 20

// WorkspaceList is a list of Workspaces.
//
// +kubebuilder:object:root=true
type WorkspaceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Workspace `json:"items"`
}
