package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"golang.org/x/sys/unix"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/fence"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	connected = "connected"
	// metadataAddress is where clouds serve a node's credentials. Here the node plays it.
	metadataAddress = "169.254.169.254"
	metadataPort    = 80
	// netns is the network of the node and its pods.
	netns = "/run/workspace-jobs/" + clusterName + "/netns"
)

func waitForFence(ws *v1alpha1.Workspace) {
	if ws.Spec.Network == nil {
		ws.Spec.Network = &v1alpha1.Network{}
	}
	ws.Spec.Network.WaitForFence = true
}

// allowAll allows everything but the canary's forbidden port, so that a pod can still wait
// for its fence.
func allowAll(ws *v1alpha1.Workspace) {
	waitForFence(ws)
	ws.Spec.Network.Egress = []v1alpha1.EgressRule{{Ports: []v1alpha1.EgressPort{
		{Port: new(int32(1)), EndPort: new(fence.ForbiddenPort - 1)}, {Port: new(fence.ForbiddenPort + 1), EndPort: new(int32(65535))},
	}}}
}

// TestRunnersReachOnlyWhatTheirWorkspaceAllows tries real connections, with a network plugin
// that enforces NetworkPolicies, and compares them with what the policies say.
func TestRunnersReachOnlyWhatTheirWorkspaceAllows(t *testing.T) {
	t.Parallel()
	playMetadata(t)
	tn := newIntruder(t, "intruded-network", waitForFence)
	wide := newIntruder(t, "intruded-wide", allowAll)
	asks := newIntruder(t, "intruded-metadata", waitForFence, func(ws *v1alpha1.Workspace) {
		ws.Spec.Network.Egress = []v1alpha1.EgressRule{objects.EgressTo(metadataAddress + "/32")}
	})
	tn.start(tn.makeJob("listen", "listen").ArgsOf(map[string]any{"port": listenPort}))
	listener := tn.runningPod("listen", 1)
	tn.waitLog(listener, "listening")
	ends, open := endsOf(t, listener)
	targets := map[string]target{"DNS": {Name: fence.Host(operatorNamespace)}}
	for name, e := range ends {
		targets[name] = target{Address: net.JoinHostPort(e.asked().Address, strconv.Itoa(int(e.port)))}
	}
	for _, each := range []struct {
		from *tenant
		open []string
	}{
		{tn, []string{"the database", "the canary's open port"}},
		{wide, open},
		{asks, []string{"the database", "the canary's open port", "the cloud's metadata"}},
	} {
		answers := reach(each.from, "reach", targets)
		pod := each.from.podOf("reach")
		if answers["DNS"] != "resolved" {
			t.Errorf("from %s: DNS: %s", each.from.name, answers["DNS"])
		}
		for _, name := range slices.Sorted(maps.Keys(ends)) {
			allowed, wanted := policyAllows(t, pod, ends[name]), slices.Contains(each.open, name)
			t.Logf("from %-20s %-28s allowed by policy: %-5t here: %s", each.from.name, name, allowed, answers[name])
			if allowed != wanted {
				t.Errorf("from %s: %s: allowed by the NetworkPolicies: %t, want %t", each.from.name, name, allowed, wanted)
			}
			if wanted && answers[name] != connected || !wanted && !noAnswer(answers[name]) {
				t.Errorf("from %s: %s: %s, want it to be reached: %t", each.from.name, name, answers[name], wanted)
			}
		}
	}
	tn.change("listen", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
}

// endsOf returns what a runner may try to reach, and which of it one may reach whose
// workspace allows everything that it can allow.
func endsOf(t *testing.T, listener *corev1.Pod) (ends map[string]end, open []string) {
	t.Helper()
	node := nodeAddress(t)
	hostPort, _ := listenOnHost(t)
	operator, server, canary := systemPod(t, "manager"), systemPod(t, "server"), systemPod(t, "canary")
	ends = map[string]end{
		"the database":               {address: shared.host, port: int32(shared.server.Port)},
		"the canary's open port":     {pod: canary, port: fence.OpenPort},
		"the canary's other port":    {pod: canary, port: fence.ForbiddenPort},
		"another tenant's pod":       {pod: listener, port: listenPort},
		"the operator's metrics":     {pod: operator, port: metricsPort},
		"the operator's health":      {pod: operator, port: healthPort},
		"the server":                 {pod: server, port: 5000},
		"the API server":             {address: node, port: 6443},
		"the kubelet":                {address: node, port: 10250},
		"the cloud's metadata":       {address: metadataAddress, port: metadataPort},
		"a listener on another host": {address: shared.host, port: hostPort},
	}
	return ends, []string{"the database", "the canary's open port", "the API server", "the kubelet", "a listener on another host"}
}

func systemPod(t *testing.T, component string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	testenv.Eventually(t, "a running pod of the "+component, func(ctx context.Context) error {
		var pods corev1.PodList
		err := shared.client.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/component": component})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if running(&pods.Items[i]) {
				found = &pods.Items[i]
				return nil
			}
		}
		return fmt.Errorf("none of %d", len(pods.Items))
	})
	return found
}

// playMetadata gives the node the address at which clouds serve its credentials, and listens
// there. Nothing leaves this machine.
func playMetadata(t *testing.T) {
	t.Helper()
	address := func(verb string) error {
		output, err := exec.Command("nsenter", "--net="+netns, "ip", "address", verb, metadataAddress+"/32", "dev", "lo").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	}
	if err := address("replace"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := address("delete"); err != nil {
			t.Error(err)
		}
	})
	listener, err := listenInside(netns, net.JoinHostPort(metadataAddress, strconv.Itoa(metadataPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
}

// listenInside listens in another network namespace.
func listenInside(namespace, address string) (listener net.Listener, err error) {
	inside(namespace, func(entered error) {
		if err = entered; err == nil {
			listener, err = net.Listen("tcp", address)
		}
	})
	return listener, err
}

// inside calls do in another network namespace, or with the reason why it can't be entered.
// Its thread comes back from there: if a thread ends, the kernel takes the processes that it
// started for orphans, and kills those that are to end with their parent.
func inside(namespace string, do func(error)) {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		do(err)
		return
	}
	defer func() {
		if unix.Setns(own, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		_ = unix.Close(own)
	}()
	file, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer func() { _ = unix.Close(file) }()
		err = unix.Setns(file, unix.CLONE_NEWNET)
	}
	do(err)
}

// TestAShortJobIsFenced runs jobs that try a forbidden address at once and end. Without
// waitForFence they may succeed, because the network plugin fences a pod a moment after its
// start; with it they never do.
func TestAShortJobIsFenced(t *testing.T) {
	t.Parallel()
	port, accepted := listenOnHost(t)
	targets := map[string]target{"forbidden": {Address: net.JoinHostPort(shared.host, strconv.Itoa(int(port)))}}
	const jobs = 4
	for name, options := range map[string][]func(*v1alpha1.Workspace){"hasty": nil, "patient": {waitForFence}} {
		tn := newIntruder(t, "intruded-"+name, options...)
		before := accepted.Load()
		for i := range jobs {
			tn.start(tn.makeJob(fmt.Sprintf("short-%d", i), "reach").Retries(0, time.Second).ArgsOf(map[string]any{"targets": targets}))
		}
		for i := range jobs {
			tn.waitFinal(fmt.Sprintf("short-%d", i), v1alpha1.StateSucceeded)
		}
		escaped := accepted.Load() - before
		t.Logf("%s: %d of %d jobs reached what their workspace forbids", name, escaped, jobs)
		if len(options) > 0 && escaped > 0 {
			t.Errorf("with waitForFence, %d of %d jobs reached what their workspace forbids", escaped, jobs)
		}
	}
}

// TestNoFenceNoRun checks an attempt whose pod can reach what a fence would forbid: here
// because the workspace allows it, elsewhere because no plugin enforces policies.
func TestNoFenceNoRun(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "unfenced", waitForFence)
	tn.allowEverything()
	tn.start(tn.makeJob("unfenced", "inspect").Retries(0, time.Second))
	job := tn.waitFinal("unfenced", v1alpha1.StateFailed)
	wantUnfenced(t, &job.Status.Attempts[0])
}

// allowEverything also lets the workspace's pods reach what they wait to be kept from.
func (tn *tenant) allowEverything() {
	tn.t.Helper()
	before, err := tn.get(tn.t.Context())
	if err != nil {
		tn.t.Fatal(err)
	}
	ws := before.DeepCopy()
	ws.Spec.Network.Egress = []v1alpha1.EgressRule{{}}
	if err := shared.client.Patch(tn.t.Context(), ws, client.MergeFrom(before)); err != nil {
		tn.t.Fatal(err)
	}
	testenv.Eventually(tn.t, "the policy allows everything", func(ctx context.Context) error {
		policy := &networkingv1.NetworkPolicy{}
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: tn.namespace, Name: "workspace-jobs-runner"}, policy)
		if err == nil && !strings.Contains(fmt.Sprint(policy.Spec), "0.0.0.0/0") {
			err = fmt.Errorf("it is %+v", policy.Spec)
		}
		return err
	})
}
