package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	nodeName = "played"
	// nodeLook is how often the played node looks at its pods, nodeBeat how often it says
	// that it is there.
	nodeLook = 100 * time.Millisecond
	nodeBeat = 10 * time.Second
	// sigterm is the exit code of what was told to stop.
	sigterm = 143
)

// Part is what a job does on a [Node]: it is the job's arguments.
type Part struct {
	// Exit code.
	Exit int32 `json:"exit,omitempty"`
	// Error and Result are what the runner leaves.
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	// Log that it writes when it starts.
	Log string `json:"log,omitempty"`
	// Lost: its node does not answer who asks for the log.
	Lost bool `json:"lost,omitempty"`
	// Hold: it starts, and ends only when [Node.Release] says so.
	Hold bool `json:"hold,omitempty"`
	// Wait: it starts only when [Node.Start] says so.
	Wait bool `json:"wait,omitempty"`
}

// Node plays a node: it takes up the pods of Jobs, though nothing runs in them, has each
// end as its job's arguments say, a [Part], and serves their logs.
type Node struct {
	env    *Env
	server *http.Server

	mutex    sync.Mutex
	logs     map[types.UID][]logged
	started  map[string]bool
	released map[string]bool
	more     chan struct{}
}

// PlayNode until ctx ends. The control plane needs its controller manager.
func PlayNode(ctx context.Context, env *Env) (*Node, error) {
	n := &Node{env: env, logs: map[types.UID][]logged{}, started: map[string]bool{}, released: map[string]bool{}, more: make(chan struct{})}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.serveLog)
	n.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	// The API server trusts what its own CA has signed for this address.
	pki := filepath.Join(filepath.Dir(env.Kubeconfig), "pki")
	go func() {
		_ = n.server.ServeTLS(listener, filepath.Join(pki, "apiserver.crt"), filepath.Join(pki, "apiserver.key"))
	}()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("a %T", listener.Addr())
	}
	if err := n.register(ctx, address.Port); err != nil {
		return nil, errors.Join(err, n.server.Close())
	}
	go n.play(ctx)
	return n, nil
}

func (n *Node) register(ctx context.Context, port int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := n.env.Client.Create(ctx, node); err != nil {
		return err
	}
	before := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port) //nolint:gosec // a port fits
	return n.beat(ctx, node, before)
}

// beat says that the node is there: else its pods would be taken from it.
func (n *Node) beat(ctx context.Context, node, before *corev1.Node) error {
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Played", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}
	return n.env.Client.Status().Patch(ctx, node, client.MergeFrom(before))
}

func (n *Node) play(ctx context.Context) {
	look, beat := time.NewTicker(nodeLook), time.NewTicker(nodeBeat)
	defer look.Stop()
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = n.server.Close()
			return
		case <-beat.C:
			node := &corev1.Node{}
			if n.env.Client.Get(ctx, client.ObjectKey{Name: nodeName}, node) == nil {
				_ = n.beat(ctx, node, node.DeepCopy()) // what fails is tried again with the next beat
			}
		case <-look.C:
			var pods corev1.PodList
			if n.env.Client.List(ctx, &pods, client.HasLabels{batchv1.ControllerUidLabel}) == nil {
				for i := range pods.Items {
					n.advance(ctx, &pods.Items[i])
				}
			}
		}
	}
}

// advance a pod by one step. What fails is tried again at the next look.
func (n *Node) advance(ctx context.Context, pod *corev1.Pod) {
	switch {
	case pod.DeletionTimestamp != nil && pod.Status.Phase == corev1.PodRunning:
		now := metav1.Now()
		n.status(ctx, pod, corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: sigterm, StartedAt: pod.CreationTimestamp, FinishedAt: now,
		}})
	case pod.DeletionTimestamp != nil:
		_ = n.env.Client.Delete(ctx, pod, client.GracePeriodSeconds(0))
	case pod.Spec.NodeName == "":
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}}
		_ = n.env.Client.SubResource("binding").Create(ctx, pod, binding)
	case pod.Status.Phase == corev1.PodPending && n.mayStart(pod):
		n.write(pod.UID, partOf(pod).Log)
		n.status(ctx, pod, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}})
	case pod.Status.Phase == corev1.PodRunning && n.mayEnd(pod):
		n.end(ctx, pod)
	}
}

func (n *Node) end(ctx context.Context, pod *corev1.Pod) {
	part := partOf(pod)
	message, err := contract.Message{Result: part.Result, Error: part.Error}.Encode()
	if err != nil {
		message = []byte(err.Error())
	}
	phase := corev1.PodSucceeded
	if part.Exit != 0 {
		phase = corev1.PodFailed
	}
	begun := pod.CreationTimestamp
	if len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].State.Running != nil {
		begun = pod.Status.ContainerStatuses[0].State.Running.StartedAt
	}
	n.status(ctx, pod, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: part.Exit, Message: string(message), StartedAt: begun, FinishedAt: metav1.Now(),
	}})
}

func (n *Node) status(ctx context.Context, pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) {
	before := pod.DeepCopy()
	pod.Status.Phase, pod.Status.StartTime = phase, &pod.CreationTimestamp
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.RunnerContainer, Image: "an-image", State: state}}
	err := n.env.Client.Status().Patch(ctx, pod, client.MergeFrom(before))
	if err != nil && !apierrors.IsNotFound(err) {
		return
	}
	n.changed()
}

// partOf a pod: a migration's, or what does not say, ends well.
func partOf(pod *corev1.Pod) Part {
	var part Part
	if pod.Labels[v1alpha1.LabelJob] == "" {
		part.Result = json.RawMessage(`{"schemaVersion": 1}`)
		return part
	}
	for _, variable := range pod.Spec.Containers[0].Env {
		if variable.Name == contract.EnvArgs {
			_ = json.Unmarshal([]byte(variable.Value), &part) // other arguments: it ends well
		}
	}
	return part
}

func (n *Node) mayStart(pod *corev1.Pod) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return !partOf(pod).Wait || n.started[pod.Labels[v1alpha1.LabelJob]]
}

func (n *Node) mayEnd(pod *corev1.Pod) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return !partOf(pod).Hold || n.released[pod.Labels[v1alpha1.LabelJob]]
}

// Start a job that waits.
func (n *Node) Start(job string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.started[job] = true
}

// Release a job that is held.
func (n *Node) Release(job string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.released[job] = true
}

// Say has a job's running pod write more to its log.
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

// logged is a line of a log, with its end if it has one yet.
type logged struct {
	at   time.Time
	text string
}

// write lines, which all have the same time: a runtime's clock may be as coarse.
func (n *Node) write(pod types.UID, text string) {
	now := time.Now()
	n.mutex.Lock()
	lines := n.logs[pod]
	for line := range strings.Lines(text) {
		if last := len(lines) - 1; last >= 0 && !strings.HasSuffix(lines[last].text, "\n") {
			lines[last].text += line
			continue
		}
		lines = append(lines, logged{now, line})
	}
	n.logs[pod] = lines
	n.mutex.Unlock()
	n.changed()
}

// logOf a pod as a kubelet gives it: from a second on, with times if they are wanted, in the
// node's time zone.
func (n *Node) logOf(pod types.UID, query url.Values) (text string, more <-chan struct{}) {
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime")) // none: from the beginning
	n.mutex.Lock()
	defer n.mutex.Unlock()
	var log strings.Builder
	for _, line := range n.logs[pod] {
		if line.at.Before(since) {
			continue
		}
		if query.Get("timestamps") == "true" {
			log.WriteString(line.at.In(nodeZone).Format("2006-01-02T15:04:05.000000000Z07:00") + " ")
		}
		log.WriteString(line.text)
	}
	return log.String(), n.more
}

// nodeZone is not UTC: a node's need not be.
var nodeZone = time.FixedZone("", 5*3600+1800)

// changed wakes those who follow a log.
func (n *Node) changed() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	close(n.more)
	n.more = make(chan struct{})
}

// serveLog as a kubelet does: whole, and with follow until the pod ends.
func (n *Node) serveLog(w http.ResponseWriter, r *http.Request) {
	sent := 0
	for {
		pod := &corev1.Pod{}
		if err := n.env.Client.Get(r.Context(), client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}, pod); err != nil {
			return
		}
		if partOf(pod).Lost {
			panic(http.ErrAbortHandler)
		}
		text, more := n.logOf(pod.UID, r.URL.Query())
		if _, err := strings.NewReader(text[sent:]).WriteTo(w); err != nil {
			return
		}
		sent = len(text)
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		if r.URL.Query().Get("follow") != "true" || pod.Status.Phase != corev1.PodRunning {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
