package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	nodeName = "played"
	// podsAtOnce is how many pods a node advances at the same time.
	podsAtOnce = 16
	// heldPause is how often a pod that waits for a test is checked.
	heldPause = 50 * time.Millisecond
	// sigterm is the exit code of a process that was asked to stop.
	sigterm = 143
)

// Part describes what a job does on a [Node]. A test passes it as the job's arguments.
type Part struct {
	// Exit is the runner's exit code.
	Exit int32 `json:"exit,omitempty"`
	// Error and Result are what the runner reports.
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	// Log is what the runner logs when it starts.
	Log string `json:"log,omitempty"`
	// Lost makes the node break the connection when the log is requested.
	Lost bool `json:"lost,omitempty"`
	// Hold makes the runner end only after [Node.Release].
	Hold bool `json:"hold,omitempty"`
	// Wait makes the runner start only after [Node.Start].
	Wait bool `json:"wait,omitempty"`
}

// Node simulates a node with its scheduler and kubelet. Nothing runs on it: it schedules the
// pods of Jobs, ends each as its [Part] says, and serves their logs.
type Node struct {
	env *Env
	// kubelet writes the status of pods, with a kubelet's name.
	kubelet client.Client

	mutex    sync.Mutex
	started  map[string]bool
	released map[string]bool
	logs     map[types.UID][]logged
	more     chan struct{}
}

// playNode plays a node until stop is called. The control plane needs its controller
// manager.
func playNode(starting context.Context, env *Env) (node *Node, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(starting))
	n := &Node{env: env, logs: map[types.UID][]logged{}, started: map[string]bool{}, released: map[string]bool{}, more: make(chan struct{})}
	if n.kubelet, err = env.ClientAs("system:node:"+nodeName, "system:nodes", "system:masters"); err != nil {
		cancel()
		return nil, func() {}, err
	}
	port, err := n.serveLogs(ctx)
	if err == nil {
		err = n.register(ctx, port)
	}
	manager, managerErr := n.manager()
	if err := errors.Join(err, managerErr); err != nil {
		cancel()
		return nil, func() {}, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = manager.Start(ctx) // tests that wait for a pod see that it has failed
	}()
	return n, func() { cancel(); <-ended }, nil
}

func (n *Node) register(ctx context.Context, port int32) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := n.env.Client.Create(ctx, node); err != nil {
		return err
	}
	// This is a patch, since controllers of Kubernetes annotate a node as soon as it exists.
	before := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = port
	return n.env.Client.Status().Patch(ctx, node, client.MergeFrom(before))
}

func (n *Node) manager() (ctrl.Manager, error) {
	ofJobs, err := labels.Parse(batchv1.ControllerUidLabel)
	if err != nil {
		return nil, err
	}
	manager, err := ctrl.NewManager(n.env.Config, ctrl.Options{
		Scheme: n.env.Scheme, Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{MaxConcurrentReconciles: podsAtOnce, SkipNameValidation: new(true)},
		Cache:      cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.Pod{}: {Label: ofJobs}}},
	})
	if err != nil {
		return nil, err
	}
	return manager, ctrl.NewControllerManagedBy(manager).For(&corev1.Pod{}).Named("node").
		Complete(reconcile.AsReconciler[*corev1.Pod](manager.GetClient(), n))
}

// Reconcile advances a pod by one step.
func (n *Node) Reconcile(ctx context.Context, pod *corev1.Pod) (reconcile.Result, error) {
	var err error
	part, held := partOf(pod), false
	switch {
	case pod.DeletionTimestamp != nil && pod.Status.Phase == corev1.PodRunning:
		err = n.change(ctx, pod, func() { end(pod, sigterm, "") })
	case pod.DeletionTimestamp != nil:
		err = n.env.Client.Delete(ctx, pod, client.GracePeriodSeconds(0))
	case pod.Spec.NodeName == "":
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}}
		err = n.env.Client.SubResource("binding").Create(ctx, pod, binding)
	case pod.Status.Phase == corev1.PodPending:
		if held = part.Wait && !n.heard(n.started, pod); !held {
			n.begin(pod.UID, part.Log)
			err = n.change(ctx, pod, func() { run(pod) })
		}
	case pod.Status.Phase == corev1.PodRunning:
		if held = part.Hold && !n.heard(n.released, pod); !held {
			err = n.change(ctx, pod, func() { end(pod, part.Exit, part.message()) })
		}
	}
	if held {
		return reconcile.Result{RequeueAfter: heldPause}, nil
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		err = nil // the cache was behind, and will report the pod again
	}
	return reconcile.Result{}, err
}

// change changes a pod's status, unless the cache is behind.
func (n *Node) change(ctx context.Context, pod *corev1.Pod, apply func()) error {
	before := pod.DeepCopy()
	apply()
	err := n.kubelet.Status().Patch(ctx, pod, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	n.wake()
	return err
}

// message returns what the runner leaves for the operator.
func (p Part) message() string {
	text, err := contract.Message{Result: p.Result, Error: p.Error}.Encode()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// partOf returns a pod's Part. A migration succeeds, and so does a job whose arguments are
// not a Part.
func partOf(pod *corev1.Pod) Part {
	var part Part
	if pod.Labels[v1alpha1.LabelJob] == "" {
		part.Result = json.RawMessage(`{"schemaVersion": 1}`)
		return part
	}
	for _, variable := range pod.Spec.Containers[0].Env {
		if variable.Name == contract.EnvArgs {
			_ = json.Unmarshal([]byte(variable.Value), &part) // other arguments: it succeeds
		}
	}
	return part
}

// heard reports whether a test has named the pod's job.
func (n *Node) heard(jobs map[string]bool, pod *corev1.Pod) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return jobs[pod.Labels[v1alpha1.LabelJob]]
}

// Start starts a job that waits.
func (n *Node) Start(job string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.started[job] = true
}

// Release ends a job that is held.
func (n *Node) Release(job string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.released[job] = true
}

// Say makes a job's running pod write more to its log.
func (n *Node) Say(ctx context.Context, namespace, job, text string) error {
	var pods corev1.PodList
	if err := n.env.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelJob: job}); err != nil {
		return err
	}
	for i := range pods.Items {
		if pods.Items[i].Status.Phase == corev1.PodRunning {
			n.write(pods.Items[i].UID, text)
			return nil
		}
	}
	return fmt.Errorf("no pod of %s runs", job)
}
