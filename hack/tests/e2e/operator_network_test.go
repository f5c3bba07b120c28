package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestTheOperatorReachesOnlyTheAPIServer connects from the pods of the operator, the server and
// the canary, as somebody could who has taken one of them over, and compares with what their
// NetworkPolicies say.
func TestTheOperatorReachesOnlyTheAPIServer(t *testing.T) {
	t.Parallel()
	tn := newIntruder(t, "reached-by-nobody")
	tn.start(tn.makeJob("listen", "listen").ArgsOf(map[string]any{"port": listenPort}))
	listener := tn.runningPod("listen", 1)
	tn.waitLog(listener, "listening")
	ends, _ := endsOf(t, listener)
	for component, open := range map[string][]string{
		"manager": {"the API server"}, "server": {"the API server"}, "canary": nil,
	} {
		pod := systemPod(t, component)
		for _, name := range slices.Sorted(maps.Keys(ends)) {
			to := ends[name]
			if to.pod != nil && to.pod.UID == pod.UID {
				continue
			}
			allowed, wanted, answer := policyAllows(t, pod, to), slices.Contains(open, name), dialFrom(t, pod, to)
			t.Logf("from the %-8s %-28s allowed by policy: %-5t here: %s", component, name, allowed, answer)
			if allowed != wanted {
				t.Errorf("from the %s: %s: allowed by the NetworkPolicies: %t, want %t", component, name, allowed, wanted)
			}
			if wanted && answer != connected || !wanted && !noAnswer(answer) {
				t.Errorf("from the %s: %s: %s, want it to be reached: %t", component, name, answer, wanted)
			}
		}
	}
	tn.change("listen", func(spec *v1alpha1.WorkspaceJobSpec) { spec.Cancelled = true })
	// The operator still works.
	tn.waitFinal("listen", v1alpha1.StateDeleted)
}

// dialFrom connects from the network of a pod, and returns what came of it, as the intruder's
// handler "reach" does.
func dialFrom(t *testing.T, from *corev1.Pod, to end) string {
	t.Helper()
	address := net.JoinHostPort(to.asked().Address, strconv.Itoa(int(to.port)))
	var err error
	inside(fmt.Sprintf("/proc/%d/ns/net", processesIn(t, from)[0]), func(entered error) {
		if err = entered; err != nil {
			return
		}
		var connection net.Conn
		if connection, err = net.DialTimeout("tcp", address, 5*time.Second); err == nil {
			_ = connection.Close()
		}
	})
	var failed net.Error
	switch {
	case err == nil:
		return connected
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.As(err, &failed) && failed.Timeout():
		return "no answer"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	}
	return err.Error()
}
