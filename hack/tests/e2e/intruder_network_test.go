package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/netpol"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

const (
	unauthorized, forbidden = "HTTP 401", "HTTP 403"
	refused                 = "refused"
	metricsPort             = 8080
	healthPort              = 8081
)

// target is an argument of hack/tests/e2e/intruder.
type target struct {
	URL     string `json:"url,omitempty"`
	Post    bool   `json:"post,omitempty"`
	Address string `json:"address,omitempty"`
	Name    string `json:"name,omitempty"`
	Find    string `json:"find,omitempty"`
}

// TestCompromisedRunnerIsNobodyToKubernetes checks that Kubernetes tells a runner, which has
// no credentials, nothing but its version and health, even if the network lets it through.
func TestCompromisedRunnerIsNobodyToKubernetes(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "intruded-kubernetes", func(ws *v1alpha1.Workspace) {
		ws.Spec.Network = &v1alpha1.Network{Egress: []v1alpha1.EgressRule{objects.EgressTo(nodeAddress(t) + "/32")}}
	})
	service := &corev1.Service{}
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, service); err != nil {
		t.Fatal(err)
	}
	node := nodeAddress(t)
	targets, want := map[string]target{}, map[string][]string{}
	ask := func(answers []string, base string, paths ...string) {
		for _, path := range paths {
			method, path, post := strings.Cut(path, "POST ")
			if !post {
				path = method
			}
			name := base + path
			targets[name], want[name] = target{URL: base + path, Post: post}, answers
		}
	}
	for _, server := range []string{"https://" + service.Spec.ClusterIP, "https://" + net.JoinHostPort(node, "6443")} {
		ask([]string{"HTTP 200"}, server, "/version", "/healthz", "/livez", "/readyz")
		ask([]string{unauthorized, forbidden}, server, "/api", "/apis", "/metrics", "/openapi/v2", "/.well-known/openid-configuration",
			"/api/v1/secrets", "/api/v1/nodes/e2e-node/proxy/pods", "/api/v1/namespaces/"+tn.namespace+"/secrets/database",
			"/apis/jobs.openradius.io/v1alpha1/workspaces", "/apis/jobs.openradius.io/v1alpha1/namespaces/"+tn.namespace+"/workspacejobs",
			"POST /api/v1/namespaces/"+tn.namespace+"/pods", "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews")
	}
	ask([]string{unauthorized, forbidden}, "https://"+net.JoinHostPort(node, "10250"),
		"/pods", "/metrics", "/stats/summary", "/logs/", "/configz", "/checkpoint/x/x/x",
		"POST /exec/"+tn.namespace+"/x/runner", "POST /run/"+tn.namespace+"/x/runner")
	// These are the ports of etcd, the kubelet without authentication, its health, kube-proxy,
	// the controller manager and the scheduler.
	for _, port := range []string{"2379", "2380", "10255", "10248", "10249", "10256", "10257", "10259"} {
		address := net.JoinHostPort(node, port)
		targets[address], want[address] = target{Address: address}, []string{refused}
	}
	answers := reach(tn, "reach", targets)
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		answer := answers[name]
		t.Logf("%-90s %s", name, answer)
		if !slices.Contains(want[name], answer) {
			t.Errorf("%s: %q, want %q", name, answer, want[name])
		}
	}
}

// noAnswer reports whether the connection failed, as it does if a NetworkPolicy forbids it.
func noAnswer(answer string) bool {
	return answer == "no answer" || answer == "unreachable" || answer == refused
}

// end is the other end of a pod's TCP connection: another pod, or an address outside.
type end struct {
	pod     *corev1.Pod
	address string
	port    int32
}

func (e end) asked() netpol.End {
	if e.pod != nil {
		return netpol.Pod(e.pod)
	}
	return netpol.End{Name: e.address, Address: e.address}
}

// policyAllows reports whether a network plugin that enforces NetworkPolicy would allow it.
func policyAllows(t *testing.T, from *corev1.Pod, to end) bool {
	t.Helper()
	world, err := netpol.Read(t.Context(), shared.client)
	if err != nil {
		t.Fatal(err)
	}
	return world.Allows(netpol.Dial{From: netpol.Pod(from), To: to.asked(), Protocol: corev1.ProtocolTCP, Port: to.port})
}

func reach(tn *tenant, name string, targets map[string]target) map[string]string {
	tn.t.Helper()
	// A result holds 4 KiB.
	const most = 24
	names := slices.Sorted(maps.Keys(targets))
	answers := map[string]string{}
	for part, some := range slices.Collect(slices.Chunk(names, most)) {
		asked := map[string]target{}
		for _, name := range some {
			asked[name] = targets[name]
		}
		job := name
		if part > 0 {
			job = fmt.Sprintf("%s-%d", name, part)
		}
		maps.Copy(answers, intrude[map[string]string](tn, job, "reach", map[string]any{"targets": asked}))
	}
	return answers
}

// podOf returns the pod of a job's first attempt.
func (tn *tenant) podOf(name string) *corev1.Pod {
	tn.t.Helper()
	var pods corev1.PodList
	err := shared.client.List(tn.t.Context(), &pods, client.InNamespace(tn.namespace), client.MatchingLabels{v1alpha1.LabelJob: name})
	if err != nil || len(pods.Items) != 1 {
		tn.t.Fatalf("%q has %d pods, want 1: %v", name, len(pods.Items), err)
	}
	return &pods.Items[0]
}

func nodeAddress(t *testing.T) string {
	t.Helper()
	server, err := url.Parse(shared.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return server.Hostname()
}

// listenOnHost listens on a port of the host's address and counts connections.
func listenOnHost(t *testing.T) (port int32, accepted *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(shared.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	accepted = &atomic.Int32{}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = connection.Close()
		}
	}()
	return int32(listener.Addr().(*net.TCPAddr).Port), accepted
}
