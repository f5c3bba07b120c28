package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/client"
)

// cluster has the clients of the Kubernetes API that all callers share. A client of its own
// for each would take ten times the memory of all else that is known about a caller. Each
// request takes its token from its context, and one without a token is not sent.
type cluster struct {
	clientset *kubernetes.Clientset
	objects   kube.WithWatch
	err       error
}

func newCluster(config *rest.Config) *cluster {
	config = rest.AnonymousClientConfig(config)
	// The API server's priority and fairness limits each caller.
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return bearing{next} })
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return &cluster{err: fmt.Errorf("make a client of the cluster: %w", err)}
	}
	objects, err := client.NewKube(config)
	return &cluster{clientset: clientset, objects: objects, err: err}
}

type tokenKey struct{}

func withToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// bearing sends the token of each request's context.
type bearing struct{ next http.RoundTripper }

func (b bearing) RoundTrip(request *http.Request) (*http.Response, error) {
	token, ok := request.Context().Value(tokenKey{}).(string)
	if !ok || token == "" {
		return nil, errors.New("a request without a caller is not sent")
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(request)
}

func (c *Caller) cluster() (*kubernetes.Clientset, error) {
	return c.authenticator.cluster.clientset, c.authenticator.cluster.err
}

// In returns a client of the jobs in a namespace, with the caller's rights.
func (c *Caller) In(namespace string) *client.Workspace {
	return client.NewFrom(asCaller{c.authenticator.cluster.objects, c.token}).ForNamespace(namespace).By(c.Name)
}

// asCaller sends a caller's token with each request of the methods that [client.Client] uses.
// Others have no token, so they fail.
type asCaller struct {
	kube.WithWatch
	token string
}

func (c asCaller) Get(ctx context.Context, key kube.ObjectKey, object kube.Object, options ...kube.GetOption) error {
	return c.WithWatch.Get(withToken(ctx, c.token), key, object, options...)
}

func (c asCaller) List(ctx context.Context, list kube.ObjectList, options ...kube.ListOption) error {
	return c.WithWatch.List(withToken(ctx, c.token), list, options...)
}

func (c asCaller) Watch(ctx context.Context, list kube.ObjectList, options ...kube.ListOption) (watch.Interface, error) {
	return c.WithWatch.Watch(withToken(ctx, c.token), list, options...)
}

func (c asCaller) Create(ctx context.Context, object kube.Object, options ...kube.CreateOption) error {
	return c.WithWatch.Create(withToken(ctx, c.token), object, options...)
}

func (c asCaller) Patch(ctx context.Context, object kube.Object, patch kube.Patch, options ...kube.PatchOption) error {
	return c.WithWatch.Patch(withToken(ctx, c.token), object, patch, options...)
}

func (c asCaller) Apply(ctx context.Context, object runtime.ApplyConfiguration, options ...kube.ApplyOption) error {
	return c.WithWatch.Apply(withToken(ctx, c.token), object, options...)
}

func (c asCaller) Delete(ctx context.Context, object kube.Object, options ...kube.DeleteOption) error {
	return c.WithWatch.Delete(withToken(ctx, c.token), object, options...)
}

// Pods returns a client of the pods in a namespace, with the caller's rights.
func (c *Caller) Pods(namespace string) Pods { return Pods{c, namespace} }

// Pods reads the pods of a namespace with a caller's rights.
type Pods struct {
	caller    *Caller
	namespace string
}

// List lists pods.
func (p Pods) List(ctx context.Context, options metav1.ListOptions) (*corev1.PodList, error) {
	cluster, err := p.caller.cluster()
	if err != nil {
		return nil, err
	}
	return cluster.CoreV1().Pods(p.namespace).List(withToken(ctx, p.caller.token), options)
}

// Watch watches pods.
func (p Pods) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	cluster, err := p.caller.cluster()
	if err != nil {
		return nil, err
	}
	return cluster.CoreV1().Pods(p.namespace).Watch(withToken(ctx, p.caller.token), options)
}

// Log opens the log of a pod, which is read until ctx ends.
func (p Pods) Log(ctx context.Context, name string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	cluster, err := p.caller.cluster()
	if err != nil {
		return nil, err
	}
	return cluster.CoreV1().Pods(p.namespace).GetLogs(name, options).Stream(withToken(ctx, p.caller.token))
}
