// Package client enqueues, schedules and watches jobs from a Go program, with the words
// that Hangfire has for it. It creates and reads the same objects as kubectl, with the
// rights of whoever it is configured for: a pod's ServiceAccount or a kubeconfig's user,
// who needs the role Editor in the workspace, or Viewer for what only reads.
//
//	acme := client.New(config).For("acme")
//	job, err := acme.Enqueue(ctx, "data-cleanup", CleanupArgs{Table: "sessions"})
//
// Errors wrap those of the Kubernetes API: apierrors.IsNotFound, IsForbidden and
// IsInvalid of k8s.io/apimachinery tell them apart.
package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Client makes clients of workspaces.
type Client struct {
	kube client.WithWatch
	err  error
}

// New takes the configuration of a Kubernetes client, as rest.InClusterConfig,
// clientcmd or controller-runtime's GetConfig give it. One that can't be used is an error
// of the first call.
func New(config *rest.Config) *Client {
	if config == nil {
		return &Client{err: errors.New("there is no configuration of a Kubernetes client: rest.InClusterConfig gives a pod's")}
	}
	kube, err := client.NewWithWatch(config, client.Options{Scheme: knownKinds(), Mapper: whereServed()})
	return &Client{kube: kube, err: err}
}

// NewFrom uses a client that exists. Its scheme must know this API's kinds.
func NewFrom(kube client.WithWatch) *Client { return &Client{kube: kube} }

// For is the client of a workspace in the namespace that the operator gives it,
// workspace-<name>.
func (c *Client) For(workspace string) *Workspace {
	return c.ForNamespace("workspace-" + workspace)
}

// ForNamespace is the client of the workspace that has this namespace: one whose
// Workspace names it in spec.namespace, or a pod's own.
func (c *Client) ForNamespace(namespace string) *Workspace {
	return &Workspace{client: c, namespace: namespace}
}

// Workspace is where jobs of one tenant are enqueued and read.
type Workspace struct {
	client    *Client
	namespace string
}

// Namespace of the workspace.
func (w *Workspace) Namespace() string { return w.namespace }

func (w *Workspace) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.namespace, Name: name}
}

// kube is the Kubernetes client, if there is one.
func (w *Workspace) kube() (client.WithWatch, error) {
	if w.client.err != nil {
		return nil, fmt.Errorf("make a Kubernetes client: %w", w.client.err)
	}
	return w.client.kube, nil
}

// get reads one object.
func (w *Workspace) get(ctx context.Context, name string, into client.Object) error {
	kube, err := w.kube()
	if err != nil {
		return err
	}
	if err := kube.Get(ctx, w.key(name), into); err != nil {
		return fmt.Errorf("get %s %q: %w", kindOf(into), name, err)
	}
	return nil
}

func kindOf(object client.Object) string {
	switch object.(type) {
	case *v1alpha1.WorkspaceJob:
		return "job"
	case *v1alpha1.WorkspaceRecurringJob:
		return "recurring job"
	default:
		return fmt.Sprintf("%T", object)
	}
}

// knownKinds are the same for all clients: a server that has many does not make them anew.
var knownKinds = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types of one name: a fault of this program
		}
	}
	return s
})

// whereServed knows where the kinds are served, so that no call has to ask before it.
var whereServed = sync.OnceValue(func() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion})
	m.Add(v1alpha1.GroupVersion.WithKind("Workspace"), meta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("WorkspaceJob"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"), meta.RESTScopeNamespace)
	m.Add(batchv1.SchemeGroupVersion.WithKind("Job"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace)
	return m
})
