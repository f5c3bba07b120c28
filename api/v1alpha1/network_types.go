package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Network of the runner pods.
type Network struct {
	// Egress that handlers need beside the database and DNS: Kubernetes'
	// NetworkPolicy egress rules.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Egress []EgressRule `json:"egress,omitempty"`
}

// EgressRule is Kubernetes' NetworkPolicyEgressRule, but that a port is a number
// with bounds: one that no int32 holds, which Kubernetes' schema lets through,
// would keep the operator from reading any Workspace.
type EgressRule struct {
	// Ports that are allowed; all if empty.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Ports []EgressPort `json:"ports,omitempty"`
	// To whom; anybody if empty.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	To []networkingv1.NetworkPolicyPeer `json:"to,omitempty"`
}

// EgressPort is Kubernetes' NetworkPolicyPort.
type EgressPort struct {
	// Protocol: TCP, UDP or SCTP.
	//
	// +optional
	// +kubebuilder:default=TCP
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol corev1.Protocol `json:"protocol,omitempty"`
	// Port number; all if unset.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// EndPort: all ports from port to this one.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	EndPort *int32 `json:"endPort,omitempty"`
}
