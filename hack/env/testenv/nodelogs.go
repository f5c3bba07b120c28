package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeZone is not UTC, since a node's zone need not be.
var nodeZone = time.FixedZone("", 5*3600+1800)

// logged is a line of a log, with its end if it has one yet.
type logged struct {
	at   time.Time
	text string
}

// serveLogs serves the logs of the node's pods until ctx ends.
func (n *Node) serveLogs(ctx context.Context) (port int32, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("a listener with the address %T", listener.Addr())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.serveLog)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	// The API server trusts a certificate of its own CA for this address.
	pki := filepath.Join(filepath.Dir(n.env.Kubeconfig), "pki")
	go func() {
		_ = server.ServeTLS(listener, filepath.Join(pki, "apiserver.crt"), filepath.Join(pki, "apiserver.key"))
	}()
	return int32(address.Port), nil //nolint:gosec // a port fits
}

// serveLog serves a log as a kubelet does: whole, and with follow until the pod ends.
func (n *Node) serveLog(w http.ResponseWriter, r *http.Request) {
	sent := 0
	for {
		more := n.waiting() // before anything is read, so that nothing is missed
		pod := &corev1.Pod{}
		if err := n.env.Client.Get(r.Context(), client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}, pod); err != nil {
			return
		}
		if partOf(pod).Lost {
			panic(http.ErrAbortHandler)
		}
		text := n.logOf(pod.UID, r.URL.Query())
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

// logOf returns a pod's log as a kubelet does: from a second on, with times if they are
// wanted, in the node's time zone.
func (n *Node) logOf(pod types.UID, query url.Values) string {
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
	return log.String()
}

// begin begins a pod's log, once.
func (n *Node) begin(pod types.UID, text string) {
	n.mutex.Lock()
	_, begun := n.logs[pod]
	n.mutex.Unlock()
	if !begun {
		n.write(pod, text)
	}
}

// write writes lines, which all have the same time: a runtime's clock may be that coarse.
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
	n.wake()
}

// waiting returns the channel that the next wake closes.
func (n *Node) waiting() <-chan struct{} {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.more
}

// wake wakes the requests that follow a log.
func (n *Node) wake() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	close(n.more)
	n.more = make(chan struct{})
}
