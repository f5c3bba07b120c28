// Package client enqueues, schedules and watches jobs from a Go program, in Hangfire's
// words. It creates and reads the same objects as kubectl, with the rights of its
// configuration: those of a pod's ServiceAccount or of a kubeconfig's user. They need the
// role Editor in the workspace, or Viewer if they only read.
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

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Client gives access to the workspaces of a cluster.
type Client struct {
	kube client.WithWatch
	err  error
	// self is nil if the client does not ask who it is.
	self *self
}

// New returns a client with the configuration that rest.InClusterConfig, clientcmd or
// controller-runtime's GetConfig gives. If it can't be used, the first call returns an
// error.
func New(config *rest.Config) *Client {
	if config == nil {
		return &Client{err: errors.New("no configuration of a Kubernetes client was given: in a pod, use rest.InClusterConfig")}
	}
	kube, err := NewKube(config)
	return &Client{kube: kube, err: err, self: &self{}}
}

// NewKube returns a Kubernetes client for [NewFrom] that knows all kinds that it needs.
func NewKube(config *rest.Config) (client.WithWatch, error) {
	return client.NewWithWatch(config, client.Options{Scheme: knownKinds(), Mapper: whereServed()})
}

// NewFrom returns a client that uses an existing one, whose scheme must have this API's
// kinds.
func NewFrom(kube client.WithWatch) *Client { return &Client{kube: kube} }

// For returns the workspace of this name, in the namespace that the operator gives it by
// default: workspace-<name>.
func (c *Client) For(workspace string) *Workspace {
	return c.ForNamespace("workspace-" + workspace)
}

// ForNamespace returns the workspace of this namespace: the one that its Workspace names in
// spec.namespace, or the namespace that the program's pod is in.
func (c *Client) ForNamespace(namespace string) *Workspace {
	return &Workspace{client: c, namespace: namespace}
}

// Workspace enqueues and reads the jobs of one tenant.
type Workspace struct {
	client    *Client
	namespace string
	// user is the name that [Workspace.By] gave.
	user string
}

// Namespace returns the workspace's namespace.
func (w *Workspace) Namespace() string { return w.namespace }

func (w *Workspace) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.namespace, Name: name}
}

// kube returns the Kubernetes client, or why there is none.
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

// knownKinds are shared by all clients, of which a server has many.
var knownKinds = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, authenticationv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types have the same name: a bug in this program
		}
	}
	return s
})

// whereServed has the paths of the kinds, so that no call has to look them up first.
var whereServed = sync.OnceValue(func() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion})
	m.Add(v1alpha1.GroupVersion.WithKind("Workspace"), meta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("WorkspaceJob"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("WorkspaceRecurringJob"), meta.RESTScopeNamespace)
	m.Add(authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), meta.RESTScopeRoot)
	m.Add(batchv1.SchemeGroupVersion.WithKind("Job"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace)
	return m
})
