package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkspaceSpec is what a platform admin configures for a tenant. Tenants can't change it.
//
// +kubebuilder:validation:XValidation:rule="has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)",message="namespace can't change once the Workspace exists: create another Workspace for the other namespace"
type WorkspaceSpec struct {
	// Namespace of the workspace. Unset: "workspace-<name>". The operator creates it, or
	// adopts an existing one that somebody with the right to do so has labelled
	// jobs.openradius.io/workspace=<name>; it never adopts any other.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'default' && !self.startsWith('kube-')",message="default and kube-* can't be a workspace's namespace"
	Namespace string `json:"namespace,omitempty"`

	// Database says where the workspace's PostgreSQL database is.
	//
	// +required
	Database Database `json:"database"`

	// Runner configures the image that runs the workspace's jobs.
	//
	// +required
	Runner Runner `json:"runner"`

	// Members can view or manage the workspace's jobs.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Members []Member `json:"members,omitempty"`

	// Concurrency is the number of slots of the workspace's queue: how many of its jobs
	// can be processing at once. A Hangfire server has at most 20 by default, too.
	//
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrency *int32 `json:"concurrency,omitempty"`

	// Suspend pauses the workspace's queue: no attempt starts. Attempts that are running
	// continue, and schedules continue to enqueue their runs.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Retention says how long finished jobs and their pods are kept.
	//
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// Quota overrides the defaults of the namespace's ResourceQuota, which are listed in
	// docs/workspace.md.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=24
	// +kubebuilder:validation:XValidation:rule="self.all(k, type(self[k]) == int || size(string(self[k])) <= 8)",message="each must be a number, or a quantity such as 500m or 256Gi of at most 8 characters"
	Quota corev1.ResourceList `json:"quota,omitempty"`

	// Network configures the network policy of the runner pods.
	//
	// +optional
	Network *Network `json:"network,omitempty"`
}

// Retention says how long finished jobs and their pods are kept. See docs/retention.md for
// everything that is deleted, by whom and when.
type Retention struct {
	// Succeeded is how long a job that Succeeded or was Deleted is kept after its end,
	// unless the job sets ttlAfterFinished. Unset: forever.
	//
	// +optional
	Succeeded *Duration `json:"succeeded,omitempty"`

	// Failed is how long a job that Failed is kept after its end, unless the job sets
	// ttlAfterFinished. Unset: forever.
	//
	// +optional
	Failed *Duration `json:"failed,omitempty"`

	// Pods is how long an attempt's Job, its pod and with it the log are kept after the
	// attempt's end. They are deleted earlier if their WorkspaceJob is. The outcome stays in
	// the WorkspaceJob's status.
	//
	// +optional
	// +kubebuilder:default="168h"
	Pods *Duration `json:"pods,omitempty"`
}

// Database says where the workspace's PostgreSQL database is.
type Database struct {
	// SecretRef names the Secret in the workspace's namespace that holds the connection
	// URL ("postgres://role:password@host:5432/database"). Runner pods read it; the operator
	// never does.
	//
	// +required
	SecretRef SecretKeyRef `json:"secretRef"`

	// AllowSuperuser allows the URL's role to be a superuser, or one that can become a
	// superuser or access the server's files. Such a role can read and change the databases
	// of all other tenants on its server: set this only if the whole server belongs to this
	// workspace. See docs/database.md.
	//
	// +optional
	AllowSuperuser bool `json:"allowSuperuser,omitempty"`

	// Schema of the database that the ledger's tables are in.
	//
	// +optional
	// +kubebuilder:default=hangfire
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('pg_') && self != 'public' && self != 'information_schema'",message="the ledger needs a schema of its own: not public, information_schema or pg_*"
	Schema string `json:"schema,omitempty"`

	// Egress allows the connections that runner pods need to reach the database:
	// NetworkPolicy egress rules, as Kubernetes has them. Apart from DNS, runner pods can
	// connect only to what this field and network.egress allow.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Egress []EgressRule `json:"egress"`
}

// SecretKeyRef selects a key of a Secret in the workspace's namespace.
type SecretKeyRef struct {
	// Name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name"`

	// Key of the Secret that holds the URL.
	//
	// +optional
	// +kubebuilder:default=url
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// Runner configures the image that runs the workspace's jobs.
type Runner struct {
	// Image that contains the handlers.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^\s]+$`
	Image string `json:"image"`

	// ImagePullPolicy is Always, IfNotPresent or Never.
	//
	// +optional
	// +kubebuilder:default=IfNotPresent
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets are Secrets in the workspace's namespace that the image is pulled
	// with.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Resources of each attempt's container, unless the job sets its own.
	//
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// Secrets of the workspace's namespace that handlers can read. Each is mounted as a
	// directory of files: /var/run/workspace-jobs/secrets/<name>/<key>.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Secrets []string `json:"secrets,omitempty"`
}

// MemberRole says what a member can do.
//
// +kubebuilder:validation:Enum=Viewer;Editor;Admin
type MemberRole string

// Roles of members.
const (
	// RoleViewer can view jobs, their pods, logs and events.
	RoleViewer MemberRole = "Viewer"
	// RoleEditor can also create, change and delete jobs.
	RoleEditor MemberRole = "Editor"
	// RoleAdmin can also view the workspace's quota, network policies and role bindings.
	RoleAdmin MemberRole = "Admin"
)

// MemberRoles returns all roles, from the fewest permissions to the most.
func MemberRoles() []MemberRole { return []MemberRole{RoleViewer, RoleEditor, RoleAdmin} }

// Member gives a role in the workspace to users, groups or ServiceAccounts.
type Member struct {
	// Role in the workspace.
	//
	// +required
	Role MemberRole `json:"role"`
	// Subjects have the role, as in a RoleBinding.
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

	// Spec is what a platform admin configures for the tenant.
	// +required
	Spec WorkspaceSpec `json:"spec"`
	// Status is written by the operator.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status WorkspaceStatus `json:"status,omitempty"`
}

// NamespaceName returns the name of the namespace that the workspace has or will have.
func (w *Workspace) NamespaceName() string {
	if w.Spec.Namespace != "" {
		return w.Spec.Namespace
	}
	return "workspace-" + w.Name
}

// Limit returns how many jobs can be processing at once.
func (w *Workspace) Limit() int32 {
	if w.Spec.Concurrency != nil {
		return *w.Spec.Concurrency
	}
	return defaultConcurrency
}

// defaultConcurrency is the schema's default, for objects that were created before it had
// one.
const defaultConcurrency = 20

// WorkspaceList is a list of Workspaces.
//
// +kubebuilder:object:root=true
type WorkspaceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Workspace `json:"items"`
}
