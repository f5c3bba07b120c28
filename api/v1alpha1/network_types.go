package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Network configures the network policy of the runner pods.
type Network struct {
	// Egress allows the connections that handlers need besides the database and DNS:
	// NetworkPolicy egress rules, as Kubernetes has them.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Egress []EgressRule `json:"egress,omitempty"`

	// WaitForFence holds back the runner in each pod until the cluster's network plugin
	// enforces the workspace's network policies for that pod. Most plugins do so only a moment
	// after a pod's start, so that a short job could otherwise connect to anything. An
	// attempt that is not fenced within the operator's fence limit fails (FenceMissing). See
	// docs/network.md.
	//
	// +optional
	WaitForFence bool `json:"waitForFence,omitempty"`
}

// EgressRule is Kubernetes' NetworkPolicyEgressRule, except that a port is a number with
// bounds. Kubernetes' schema accepts a port that does not fit an int32, and one such port
// would keep the operator from reading any Workspace.
type EgressRule struct {
	// Ports that are allowed. Empty: all ports.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Ports []EgressPort `json:"ports,omitempty"`
	// To lists the destinations that are allowed. Empty: all destinations.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	To []networkingv1.NetworkPolicyPeer `json:"to,omitempty"`
}

// EgressPort is Kubernetes' NetworkPolicyPort with a numeric port.
type EgressPort struct {
	// Protocol is TCP, UDP or SCTP.
	//
	// +optional
	// +kubebuilder:default=TCP
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol corev1.Protocol `json:"protocol,omitempty"`
	// Port is the number of the port. Unset: all ports.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// EndPort allows all ports from port to this one, inclusive.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	EndPort *int32 `json:"endPort,omitempty"`
}
