// Package testenv gives tests a real API server, with the project's CRDs and
// ClusterRoles installed: etcd, kube-apiserver and, on demand,
// kube-controller-manager, started by hack/env/cluster. There is no kubelet: a [Node] or
// the test itself changes the status of pods as one does.
//
// A package has one [Shared], or one [Manager] if it tests a controller, and a TestMain
// that runs it; each test asks it for what it needs. Objects come from hack/env/objects.
package testenv

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// startLimit is how long a control plane may take to start; hack/env/cluster may have
// to build it first.
const startLimit = 15 * time.Minute

// Options says what a control plane has besides etcd and an API server.
type Options struct {
	// ControllerManager also runs kube-controller-manager: Jobs, garbage
	// collection, namespaces, ServiceAccounts.
	ControllerManager bool
	// Node also runs kube-controller-manager, and plays a [Node], on which every Job
	// succeeds at once unless its arguments say otherwise.
	Node bool
	// Policies also installs the admission policies. Tests of what the operator does
	// about objects that others changed do without them: the policies would keep the
	// others from changing anything.
	Policies bool
	// Namespace is where the operator is installed, instead of workspace-jobs-system.
	Namespace string
}

// namespace returns where the operator is installed.
func (o Options) namespace() string { return cmp.Or(o.Namespace, operatorNamespace) }

// Env is a running control plane.
type Env struct {
	// Config is the configuration of a cluster admin.
	Config *rest.Config
	// Client reads live, and may do everything.
	Client client.Client
	// Scheme has Kubernetes' kinds and the project's.
	Scheme *runtime.Scheme
	// Kubeconfig is the path of a cluster admin's kubeconfig.
	Kubeconfig string
	// Node is nil without Options.Node.
	Node *Node

	etcd string
	// namespace is the operator's namespace.
	namespace string
}

// As returns a configuration that acts as somebody else, so that RBAC holds for the test.
func (e *Env) As(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(e.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// ClientAs returns a client that acts as somebody else, and reads live.
func (e *Env) ClientAs(user string, groups ...string) (client.Client, error) {
	c, err := client.New(e.As(user, groups...), client.Options{Scheme: e.Scheme})
	if err != nil {
		return nil, err
	}
	return RetryCreate(c), nil
}

// AdminUser is the user of Env.Client, a member of system:masters.
const AdminUser = "admin"

// ManagerUser is the operator's user; for [Env.As] and [Env.ClientAs].
const ManagerUser = "system:serviceaccount:workspace-jobs-system:workspace-jobs-manager"

// Start starts a control plane for a program that is not a test; stop ends it. tool is
// the path of the cluster tool, as [ClusterTool] returns it.
func Start(ctx context.Context, tool string, options Options) (env *Env, stop func() error, err error) {
	env, p, err := startWith(ctx, tool, options)
	return env, p.stop, err
}

func startWith(ctx context.Context, tool string, options Options) (*Env, *plane, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	p, err := startPlane(ctx, tool, options)
	if err != nil {
		return nil, nil, err
	}
	env, err := connect(p.kubeconfig)
	if err == nil {
		env.etcd, env.namespace = p.etcd, options.namespace()
		err = install(ctx, env.Client, filepath.Join(root, "config"), options)
	}
	if err == nil && options.Node {
		env.Node, p.stopNode, err = playNode(ctx, env)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.stop())
	}
	return env, p, nil
}

func connect(kubeconfig string) (*Env, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// Tests that poll in parallel must not be throttled.
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	return &Env{Config: config, Client: RetryCreate(c), Scheme: scheme, Kubeconfig: kubeconfig}, nil
}

// moduleRoot returns the folder of the go.mod that the test's package belongs to.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("there is no go.mod above the test's folder")
		}
		folder = parent
	}
}
